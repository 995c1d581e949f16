"""What seeds can show: power agrees with statsmodels, and stated effects are found as often as stated."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from hjepa.search.ablation.effects import paired_t
from hjepa.search.ablation.power import half_width, power, seeds_for, smallest_detectable


@pytest.mark.parametrize(("seeds", "rows"), [(3, 1), (6, 3), (8, 5), (30, 10)])
def test_power_agrees_with_statsmodels(seeds: int, rows: int) -> None:
    theirs = TTestPower().power(1.3, seeds, 0.05 / rows, alternative="two-sided")
    assert power(1.3 * 0.02, 0.02, seeds, rows=rows) == pytest.approx(theirs, abs=1e-8)
    found = smallest_detectable(0.02, seeds, rows=rows)
    assert found is not None and power(found, 0.02, seeds, rows=rows) == pytest.approx(0.8, abs=1e-8)


def test_the_smallest_detectable_effect_is_found_in_four_of_five_studies() -> None:
    found = smallest_detectable(1.0, 6)
    assert found is not None
    p, _, _ = paired_t(found + np.random.default_rng(0).standard_normal((4_000, 6)))
    assert float((p <= 0.05).mean()) == pytest.approx(0.8, abs=0.025)


def test_seeds_for_an_effect_are_the_fewest() -> None:
    needed = seeds_for(0.5, 1.0, rows=5)
    assert needed is not None
    assert power(0.5, 1.0, needed - 1, rows=5) < 0.8 <= power(0.5, 1.0, needed, rows=5)
    assert seeds_for(0.0, 1.0, limit=50) is None


def test_one_seed_detects_nothing() -> None:
    assert smallest_detectable(0.01, 1) is None
    assert power(1.0, 0.01, 1) == 0.0
    assert half_width(0.01, 1) == math.inf


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="sd: got"):
        smallest_detectable(0.0, 5)
    with pytest.raises(ValueError, match="rows: got 0"):
        smallest_detectable(1.0, 5, rows=0)
