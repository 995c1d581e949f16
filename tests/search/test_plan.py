"""The plan says beforehand what would run, and refuses what the cluster cannot hold."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hjepa.config import Config
from hjepa.overrides import ConfigError, load_config
from hjepa.search.plan import concurrency, gpu_share, make_plan, per_trial, render
from hjepa.search.sections import Resources, SchedulerSpec
from hjepa.search.stopping.schedulers import rungs
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize(
    ("epochs", "grace", "reduction", "interval", "expected"),
    [
        (100, 0.1, 3, None, (10, 30, 90)),
        (6, 0.1, 3, None, (1, 3)),
        (100, 0.1, 3, 4, (12, 36)),
        (1, 0.1, 3, None, ()),
        (20, 1.0, 2, None, ()),
        (30, 0.1, 3, None, (4, 12)),  # 3 epochs, moved to the probe at 4
    ],
)
def test_rungs_lie_on_probes(epochs: int, grace: float, reduction: int, interval: int | None, expected: Any) -> None:
    given_interval = [] if interval is None else [f"evaluation.interval={interval}"]
    base = load_config(overrides=[f"training.epochs={epochs}", *given_interval])
    assert rungs(SchedulerSpec(grace=grace, reduction=reduction), base) == expected
    assert rungs(SchedulerSpec(type="none"), base) == ()


@given(st.integers(1, 300), st.floats(0.01, 1.0), st.integers(2, 5))
def test_every_rung_is_a_probe_below_the_budget(epochs: int, grace: float, reduction: int) -> None:
    base = load_config(overrides=[f"training.epochs={epochs}"])
    found = rungs(SchedulerSpec(grace=grace, reduction=reduction), base)
    assert all(rung % base.probe_interval == 0 and 0 < rung < epochs for rung in found)
    assert all(later == reduction * earlier for earlier, later in itertools.pairwise(found))


def test_the_scarcest_resource_bounds_concurrency() -> None:
    cluster = {"CPU": 16, "GPU": 2}
    assert concurrency(Resources(cpus=4), 0.0, cluster) == 4
    assert concurrency(Resources(cpus=2, gpus=0.25), 0.25, cluster) == 8
    assert concurrency(Resources(cpus=1), 1.0, cluster) == 2
    assert concurrency(Resources(cpus=2, workers=2), 0.0, {"CPU": 8}) == 2
    assert per_trial(Resources(cpus=2, workers=2), 0.5) == {"CPU": 4, "GPU": 1.0}


@pytest.mark.parametrize(
    ("resources", "gpus", "line"),
    [
        (Resources(cpus=8), 0.0, r"resources\.cpus: a trial needs 8 CPU .*; allowed at most the cluster's 4"),
        (Resources(workers=4), 1.0, r"resources\.gpus: a trial needs 4 GPU .*; allowed at most the cluster's 1"),
    ],
)
def test_a_plan_that_cannot_fit_is_refused(resources: Resources, gpus: float, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        concurrency(resources, gpus, {"CPU": 4.5 if gpus else 4, "GPU": 1})


def test_accelerators_are_taken_where_there_are_some() -> None:
    base = Config()
    assert gpu_share(Resources(), base, {"CPU": 8}) == 0
    assert gpu_share(Resources(), base, {"CPU": 8, "GPU": 1}) == 1
    assert gpu_share(Resources(gpus=0.5), base, {"CPU": 8, "GPU": 1}) == 0.5
    assert gpu_share(Resources(gpus=0.5), base, {"CPU": 8}) == 0
    assert gpu_share(Resources(), load_config(overrides=["runtime.device=cpu"]), {"CPU": 8, "GPU": 1}) == 0


def test_the_plan_is_readable(make_study: MakeStudy) -> None:
    study = make_study(seeds=[0, 1], max_concurrent=2, budget={"trials": 6, "epochs": 40, "hours": 1.5})
    text = render(make_plan(study, Path("runs/t"), {"CPU": 8}))
    for fact in (
        "12 = 6 configurations (baseline first) x 2 seeds [0, 1]",
        "stops after 1.5 h",
        "asha at epochs 4, 12, 36",
        "40 a trial; cheap probe every 2",
        "2 at once on 8 CPU, 0 GPU (max_concurrent 2)",
        "optim.lr: log_uniform 0.0001 to 0.01; baseline 0.001",
        "only when views.augmentation is three_augment (automatic: otherwise it does nothing)",
        "runs/t",
    ):
        assert fact in text


def test_a_budget_beyond_the_grid_is_capped_and_said(make_study: MakeStudy) -> None:
    study = make_study(space={"optim.lr": {"choice": [0.001, 0.002]}})
    text = render(make_plan(study, Path("runs/t"), {"CPU": 2}))
    assert "2 = 2 configurations" in text
    assert "budget.trials 6 is capped" in text
