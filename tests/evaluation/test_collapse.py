"""Feature ranks equal the reference values of the method; a constant encoder raises the alarm, healthy ones do not."""

import json
import math

import numpy as np
import pytest
import torch

from hjepa.evaluation.collapse import (
    RANKME_EPS,
    CollapseMonitor,
    entropy_rank,
    participation_ratio,
    singular_values,
    statistics,
)

HEALTHY = {"features.std": 0.02, "features.effective_rank": 30.0}


def deterministic(*shape: int) -> torch.Tensor:
    count = math.prod(shape)
    index = torch.arange(count, dtype=torch.float64)
    return (torch.sin(0.37 * index + 0.11) + 0.5 * torch.cos(0.73 * index * index / count**0.5)).reshape(shape)


def test_ranks_equal_reference() -> None:
    x = deterministic(64, 16)
    assert entropy_rank(singular_values(x), RANKME_EPS) == pytest.approx(11.212559, abs=1e-6)
    assert entropy_rank(singular_values(x, centre=True)) == pytest.approx(11.179482, abs=1e-6)
    assert participation_ratio(singular_values(x, centre=True)) == pytest.approx(2.825574, abs=1e-6)


def test_statistics_report_the_same_ranks() -> None:
    found = statistics(deterministic(64, 16).numpy())
    assert found["features.rankme"] == pytest.approx(11.212559, abs=1e-5)
    assert found["features.effective_rank"] == pytest.approx(11.179482, abs=1e-5)
    assert found["features.participation"] == pytest.approx(2.825574, abs=1e-5)


def test_orthonormal_data_has_full_rank_and_rank_r_data_rank_r() -> None:
    orthonormal = torch.linalg.qr(deterministic(64, 16)).Q
    assert entropy_rank(singular_values(orthonormal)) == pytest.approx(16, abs=1e-3)
    low = torch.linalg.qr(deterministic(64, 3)).Q @ torch.linalg.qr(deterministic(16, 3)).Q.T
    assert entropy_rank(singular_values(low)) == pytest.approx(3, abs=1e-3)
    assert participation_ratio(singular_values(low)) == pytest.approx(3, abs=1e-3)


def test_std_is_one_over_root_width_on_the_sphere_and_cosine_zero() -> None:
    features = np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32)
    found = statistics(features)
    assert found["features.std"] == pytest.approx(1 / 8, rel=0.01)
    assert found["features.cosine"] == pytest.approx(0, abs=0.01)
    assert statistics(1000 * features)["features.std"] == pytest.approx(found["features.std"], rel=1e-5)


def test_constant_features_have_rank_and_std_zero() -> None:
    constant = np.repeat(np.random.default_rng(0).normal(size=(1, 32)), 100, axis=0).astype(np.float32)
    rounded = constant * np.float32(1) + np.random.default_rng(1).normal(size=constant.shape).astype(np.float32) * 1e-9
    for features in (constant, rounded):
        found = statistics(features)
        assert found["features.effective_rank"] == 0
        assert found["features.std"] < 1e-7
        assert found["features.cosine"] == pytest.approx(1)


@pytest.mark.parametrize(
    "bad",
    [
        HEALTHY | {"features.std": 0.0019},
        HEALTHY | {"features.effective_rank": 7.4},
        HEALTHY | {"features.std": math.nan},
    ],
)
def test_alarm_after_three_checks_in_a_row(bad: dict[str, float]) -> None:
    monitor = CollapseMonitor()
    monitor.start(HEALTHY)
    assert monitor.check(bad, warm=True) is None
    assert monitor.check(bad, warm=True) is None
    assert monitor.check(HEALTHY, warm=True) is None  # starts over
    assert [monitor.check(bad, warm=True) is None for _ in range(3)] == [True, True, False]
    assert monitor.alarm is not None and "3 checks in a row" in monitor.alarm and "\n" not in monitor.alarm


def test_warm_up_and_limits_raise_no_alarm() -> None:
    monitor = CollapseMonitor()
    monitor.start(HEALTHY)
    for _ in range(5):
        monitor.check({"features.std": 0.0, "features.effective_rank": 0.0}, warm=False)
    for _ in range(5):
        monitor.check({"features.std": 0.0021, "features.effective_rank": 7.6}, warm=True)
    assert monitor.alarm is None


def test_one_level_with_all_the_weight_raises_the_alarm() -> None:
    monitor = CollapseMonitor()
    monitor.start(HEALTHY)
    for weights, warm in (([0.5, 0.5], True), ([0.995, 0.005], False), ([0.985, 0.015], True), ([0.995, 0.005], True)):
        assert monitor.check(HEALTHY, warm=warm, weights=weights) is None
    resumed = CollapseMonitor()
    resumed.load(json.loads(json.dumps(monitor.state())))
    assert resumed.check(HEALTHY, warm=True, weights=[0.0, 50.0]) is None
    reason = resumed.check(HEALTHY, warm=True, weights=[0.001, 0.999])
    assert reason == "level 1 has 99.9% of the weight of all levels, 3 checks in a row"


def test_state_survives_a_checkpoint() -> None:
    bad = HEALTHY | {"features.std": 0.0}
    first = CollapseMonitor()
    first.start(HEALTHY)
    first.check(bad, warm=True)
    first.check(bad, warm=True)
    second = CollapseMonitor()
    second.load(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    assert second.check(bad, warm=True) == first.check(bad, warm=True)
    assert second.alarm is not None
    third = CollapseMonitor()
    third.load(second.state())
    assert third.alarm == second.alarm
