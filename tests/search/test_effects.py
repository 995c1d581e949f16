"""One effect: every number is that of scipy and statsmodels, and what cannot be concluded is said, never tested."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.descriptivestats import sign_test
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from hjepa.search.ablation.effects import effect, sign_flip

RNG = np.random.default_rng(3)
WITH = {seed: 0.62 + 0.01 * float(RNG.standard_normal()) for seed in range(8)}
WITHOUT = {seed: 0.60 + 0.01 * float(RNG.standard_normal()) for seed in range(8)}


def test_numbers_agree_with_an_independent_computation() -> None:
    found = effect("x", WITH, WITHOUT, margin=0.03)
    x, y = np.array(list(WITH.values())), np.array(list(WITHOUT.values()))
    describe = DescrStatsW(x - y)
    assert found.interval is not None and found.equivalence is not None and found.sign_flip is not None
    assert found.mean == pytest.approx(describe.mean, abs=1e-8)
    assert found.standard_error == pytest.approx(describe.std_mean, abs=1e-8)
    assert (found.interval.low, found.interval.high) == pytest.approx(describe.tconfint_mean(), abs=1e-8)
    assert found.p == pytest.approx(stats.ttest_rel(x, y).pvalue, abs=1e-8)
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(x, y, method="exact").pvalue, abs=1e-8)
    assert found.equivalence.p == pytest.approx(ttost_paired(x, y, -0.03, 0.03)[0], abs=1e-8)
    sums = [abs(float(np.dot(signs, x - y))) for signs in itertools.product((-1, 1), repeat=8)]
    share = float(np.mean([total >= abs((x - y).sum()) - 1e-12 for total in sums]))
    assert found.sign_flip.p == pytest.approx(share, abs=1e-8)


def test_sign_flips_cannot_reach_five_percent_below_six_seeds() -> None:
    for seeds in (2, 5, 6, 9):
        values = 1.0 + 0.1 * np.arange(seeds)
        found = sign_flip(values)
        assert found.exact and found.p == found.floor == 2 / 2**seeds
        assert found.p == pytest.approx(min(1.0, sign_test(values)[1]))
        assert (found.floor < 0.05) == (seeds >= 6)
    assert sign_flip(np.array([0.0, 1.0, 2.0])).floor == 0.5  # a difference of 0 has no sign


def test_bootstrap_intervals_only_from_ten_seeds_on() -> None:
    few, many = ({seed: float(x) for seed, x in enumerate(RNG.standard_normal(count))} for count in (9, 12))
    zeros = dict.fromkeys(range(12), 0.0)
    assert effect("few", few, dict.fromkeys(few, 0.0)).bootstrap is None
    shown = effect("many", many, zeros).bootstrap
    assert shown is not None and shown.coverage is not None and 0.85 < shown.coverage < 0.95
    assert shown.low < np.mean(list(many.values())) < shown.high
    assert effect("many", many, zeros) == effect("many", many, zeros)


@pytest.mark.parametrize(
    ("with_scores", "without_scores", "words"),
    [
        ({}, {}, "no seed has both scores"),
        ({0: 0.5}, {1: 0.5}, "no seed has both scores"),
        ({0: 0.9}, {0: 0.5}, "one seed"),
        ({0: 0.5, 1: 0.7}, {0: 0.5, 1: 0.7}, "equal at every seed"),
        ({0: 0.6, 1: 0.8, 2: 0.4}, {0: 0.5, 1: 0.7, 2: 0.3}, "same at every seed"),
    ],
)
def test_degenerate_cases_have_words_and_no_tests(
    with_scores: dict[int, float], without_scores: dict[int, float], words: str
) -> None:
    found = effect("x", with_scores, without_scores, margin=0.1)
    assert words in str(found.cannot)
    tests = (found.p, found.interval, found.sign_flip, found.wilcoxon, found.bootstrap, found.equivalence)
    assert tests == (None,) * 6


def test_missing_scores_are_listed_with_their_states() -> None:
    found = effect(
        "x",
        {0: 0.5, 1: float("nan"), 2: 0.8, 4: 0.5},
        {0: 0.4, 1: 0.3, 2: 0.6},
        with_missing={3: "out_of_memory"},
        without_missing={3: "early_stopped"},
    )
    assert found.seeds == (0, 2)
    assert [str(gap) for gap in found.missing] == [
        "seed 1 with: score nan",
        "seed 3 with: out_of_memory",
        "seed 3 without: early_stopped",
        "seed 4 without: not run",
    ]
    assert found.caution is not None and effect("x", WITH, WITHOUT).caution is None


def test_a_margin_is_positive() -> None:
    with pytest.raises(ValueError, match="margin: got 0"):
        effect("x", WITH, WITHOUT, margin=0)
