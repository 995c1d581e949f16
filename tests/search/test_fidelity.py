"""Rungs against the end: correlations are scipy's, and too few trials say so."""

import numpy as np
import pytest
from scipy import stats

from hjepa.search.stopping.fidelity import agreement


def test_correlations_and_whether_the_best_was_kept() -> None:
    rng = np.random.default_rng(0)
    late = rng.standard_normal(20)
    early = late + rng.standard_normal(20)
    final = {str(number): float(x) for number, x in enumerate(late)}
    rungs = {8: {str(number): float(x) for number, x in enumerate(early)}, 2: {name: -x for name, x in final.items()}}
    first, second = agreement(rungs, final, 3)
    assert (first.epoch, first.spearman, first.kept_best, first.interval) == (2, pytest.approx(-1), False, None)
    assert second.spearman == pytest.approx(stats.spearmanr(early, late).statistic, abs=1e-8)
    assert second.kendall == pytest.approx(stats.kendalltau(early, late).statistic, abs=1e-8)
    assert second.interval is not None and second.interval.low < second.spearman < second.interval.high
    assert second.kept_best == (int((early > early[late.argmax()]).sum()) < 20 // 3)


def test_only_trials_with_both_scores_count() -> None:
    final = {"a": 1.0, "b": 2.0, "c": 3.0, "d": float("nan")}
    rungs = {1: {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "stopped": 0.0}}
    assert "3 trials" in str(agreement(rungs, final, 3)[0].cannot)
    level = dict.fromkeys("abcd", 1.0)
    assert "no order" in str(agreement({1: level}, level, 3)[0].cannot)
