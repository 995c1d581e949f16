"""Tables of effects: Holm over what can be tested, words for what cannot, false alarms and power as promised."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from benchmarks import simulated_studies as benchmark
from hjepa.search.ablation.effects import BCA_COVERAGE, effect
from hjepa.search.ablation.statistics import holm, pairing, table

ROOT = Path(__file__).parents[2]


def test_a_a_studies_raise_few_false_alarms() -> None:
    for noise in benchmark.NOISES:
        assert benchmark.false_alarms(2_000, noise) <= 0.06


def test_an_effect_of_two_standard_deviations_is_found() -> None:
    for noise in benchmark.NOISES:
        assert benchmark.found(2_000, noise) >= 0.80


def test_t_intervals_cover_the_truth() -> None:
    for noise in benchmark.NOISES:
        assert 0.93 <= benchmark.coverage(2_000, noise) <= 0.97


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_stated_coverage_of_bootstrap_intervals_is_what_is_measured(seeds: int) -> None:
    assert benchmark.bca_coverage(seeds, 1_000, 999) == pytest.approx(BCA_COVERAGE[seeds], abs=0.025)


def test_the_simulation_judges_as_the_table_does() -> None:
    studies = benchmark.differences(3, "heavy", 2.0)
    quick = benchmark.significant(studies)
    for study, expected in zip(studies, quick, strict=True):
        effects = [
            effect(str(row), dict(enumerate(values)), dict.fromkeys(range(8), 0.0)) for row, values in enumerate(study)
        ]
        assert [row.significant for row in table(effects)] == list(expected)


def test_the_benchmark_does_not_stand_in_for_the_standard_library() -> None:
    code = "import sys; sys.path.insert(0, 'benchmarks'); import statistics; print(statistics.median([1, 2, 9]))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "2"


@pytest.mark.slow
def test_holm_is_that_of_statsmodels() -> None:
    p = np.random.default_rng(0).uniform(0, 0.2, (5, 5))
    for found, row in zip(holm(p), p, strict=True):
        np.testing.assert_allclose(found, multipletests(row, method="holm")[1], atol=1e-12)


def scores(mean: float, seeds: int = 8, seed: int = 0) -> dict[int, float]:
    return {
        number: mean + float(x) for number, x in enumerate(0.01 * np.random.default_rng(seed).standard_normal(seeds))
    }


def test_rows_without_a_test_have_no_star_and_do_not_count_for_the_correction() -> None:
    base = scores(0.5)
    strong = effect("strong", scores(0.6, seed=1), base)
    single = effect("single", {0: 0.9}, {0: 0.1})
    constant = effect("constant", {seed: score + 0.1 for seed, score in base.items()}, base)
    rows = table([single, strong, constant])
    assert [row.significant for row in rows] == [None, True, None]
    assert [row.star for row in rows] == ["", "*", ""]
    assert rows[1].p == strong.p and rows[1].tests == 1
    assert "one seed" in rows[0].words and "same at every seed" in rows[2].words
    assert table([]) == []


def test_no_difference_shown_is_not_no_effect() -> None:
    base = scores(0.5)
    near, far = scores(0.5, seed=1), scores(0.56, seed=2)
    plain, equal, within = table(
        [effect("plain", near, base), effect("equal", near, base, margin=0.1), effect("within", far, base, margin=0.2)]
    )
    assert plain.words == "no difference shown" and plain.equivalent is None
    assert equal.words == "no effect beyond ±0.1"
    assert within.words == "higher with it, but within ±0.2"
    lower = table([effect("lower", base, far)])[0]
    assert lower.words == "lower with it"


def test_missing_trials_stay_in_the_conclusion() -> None:
    base, better = scores(0.5), scores(0.6, seed=1)
    del better[3]
    row = table([effect("x", better, base, with_missing={3: "diverged"})])[0]
    assert row.significant
    assert "seed 3 with: diverged" in row.words and "only of the 7 seeds" in row.words


def test_pairing_recovers_the_share_of_the_seeds() -> None:
    rng = np.random.default_rng(0)
    inside, ratios = 0, []
    for _ in range(300):
        seed_part = 2.0 * rng.standard_normal(8)
        cells = {str(k): dict(enumerate(k + seed_part + rng.standard_normal(8))) for k in range(4)}
        found = pairing(cells)
        assert found.ratio is not None and found.interval is not None
        inside += found.interval.low <= np.sqrt(1 / 5) <= found.interval.high
        ratios.append(found.ratio)
    assert 0.92 <= inside / 300 <= 0.98
    assert np.median(ratios) == pytest.approx(np.sqrt(1 / 5), rel=0.15)


def test_pairing_of_two_cells_is_the_ratio_of_variances() -> None:
    a, b = scores(0.5), scores(0.6, seed=1)
    x, y = np.array(list(a.values())), np.array(list(b.values()))
    expected = np.sqrt((x - y).var(ddof=1) / (x.var(ddof=1) + y.var(ddof=1)))
    assert pairing({"a": a, "b": b}).ratio == pytest.approx(expected, abs=1e-10)


def test_pairing_of_many_cells_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(4)
    shared = rng.standard_normal(6)
    cells = {str(k): dict(enumerate((k + shared + rng.standard_normal(6)).tolist())) for k in range(4)}
    rows = [{"cell": name, "seed": seed, "score": x} for name, cell in cells.items() for seed, x in cell.items()]
    anova = anova_lm(smf.ols("score ~ C(cell) + C(seed)", pd.DataFrame(rows)).fit())
    quotient, freedom = anova.loc["C(seed)", "F"], (5, 15)
    limits = [quotient / stats.f.ppf(level, *freedom) for level in (0.025, 0.975)]
    low, mean, high = (np.sqrt(4 / (q + 3)) for q in (limits[0], quotient, limits[1]))
    found = pairing(cells)
    assert found.ratio == pytest.approx(mean, abs=1e-8) and found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-8)


def test_pairing_says_what_it_cannot_know() -> None:
    assert pairing({}).cannot and pairing({"a": {0: 1.0}, "b": {1: 1.0}}).cannot
    same = scores(0.5)
    assert "do not vary" in str(pairing({"a": same, "b": same}).cannot)
