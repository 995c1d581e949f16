"""Claim: a study's cost is the sum of its trials' costs, each measured once a class, shared among the trials at once,
less what early stopping leaves out; what cannot be measured is said."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hjepa.config import Config
from hjepa.overrides import ConfigError
from hjepa.search.durations import clock
from hjepa.search.estimate import STUDY_START, TRIAL_START, estimate, render, stopping_share
from hjepa.search.plan import Plan, make_plan
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
BATCH = {"optim.batch_size": {"choice": [64, 128]}, "optim.lr": {"log_uniform": [1e-4, 1e-2]}}


@dataclass
class Cost:
    training: float
    probes: float = 20.0
    start: float = 1.0
    checkpoint_bytes: int = 1_000_000


class Meter:
    """Half the batch takes twice the time."""

    def __init__(self, refuse: int | None = None) -> None:
        self.refuse = refuse
        self.measured: list[int] = []

    def __call__(self, config: Config) -> Cost:
        if config.optim.batch_size == self.refuse:
            raise ConfigError(["optim.batch_size: too large"])
        self.measured.append(config.optim.batch_size)
        return Cost(25600.0 / config.optim.batch_size)


def planned(study: Study, cpus: int = 2) -> Plan:
    return make_plan(study, Path("runs/t"), {"CPU": cpus})


def test_a_search_without_early_stopping(make_study: MakeStudy) -> None:
    study = make_study(space=BATCH, scheduler={"type": "none"}, seeds=[0, 1])
    meter = Meter()
    found = estimate(planned(study), meter)
    assert meter.measured == [256, 64, 128]
    assert (found.trials, found.classes, found.measured, found.share) == (12, 3, 3, 1.0)
    factor = ((400 + 21) + (200 + 21)) / 2 / (100 + 21)
    assert found.training == pytest.approx(100 * factor)
    trial = found.training + found.probes + found.start
    assert trial == pytest.approx(120 * factor + 1 + TRIAL_START)
    assert found.seconds == pytest.approx(STUDY_START + 6 * trial)
    assert found.device_seconds == pytest.approx(12 * trial)
    assert (found.low, found.high) == (pytest.approx(221), pytest.approx(421))
    assert found.checkpoint_bytes == 12e6


def test_cells_are_costed_each_by_its_class_and_shared_ones_once(make_study: MakeStudy) -> None:
    factors = {
        "small": {"without": {}, "with": {"optim.batch_size": 64}},
        "slow": {"without": {}, "with": {"optim.lr": 1e-4}},
        "decay": {"levels": {"x": {}, "y": {"optim.weight_decay": 0.3}}},
    }
    study = make_study(
        space="<absent>", budget={"epochs": 2}, ablation={"design": "one_at_a_time", "factors": factors}, seeds=[0, 1]
    )
    meter = Meter()
    found = estimate(planned(study), meter)
    assert meter.measured == [256, 64]
    assert found.trials == 8
    assert found.training == pytest.approx((3 * 100 + 400) / 4)
    assert (found.low, found.high) == (121, 421)


def test_early_stopping_leaves_a_share(make_study: MakeStudy) -> None:
    study = make_study(
        budget={"trials": 40, "epochs": 9}, scheduler={"grace": 0.1, "reduction": 3, "min_trials": 4}, space=BATCH
    )
    plan = planned(study)
    assert plan.rungs == (1, 3)
    spent = (1 + 2 / 3 + 6 / 9) / 9
    known = (3 + 37 * spent) / 40
    assert stopping_share(plan) == pytest.approx(known, abs=0.08), "one in three goes on; the first at a rung do better"
    assert stopping_share(planned(make_study(scheduler={"type": "none"}))) == 1.0
    assert stopping_share(planned(make_study(budget={"trials": 3, "epochs": 9}))) == 1.0, "fewer than min_trials"
    assert estimate(plan, Meter()).seconds < estimate(plan, Meter()).longest


@pytest.mark.parametrize(
    ("scheduler", "low", "high"),
    [
        ({"type": "asha", "variant": "promotion"}, 0.2, 0.35),
        ({"type": "hyperband"}, 0.45, 0.7),
        ({"type": "median"}, 0.2, 0.8),
        ({"type": "percentile", "percentile": 1}, 0.75, 1.0),
        ({"type": "percentile", "percentile": 80}, 0.1, 0.4),
        ({"type": "asha", "patience": 8}, 0.9, 1.0),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_every_scheduler_is_costed_by_its_own_rule(
    make_study: MakeStudy, scheduler: dict[str, object], low: float, high: float
) -> None:
    study = make_study(budget={"trials": 40, "epochs": 9}, scheduler=scheduler, space=BATCH)
    share = stopping_share(planned(study))
    assert low < share <= high
    assert share == stopping_share(planned(study)), "the same plan says the same again"


def test_a_class_that_cannot_be_measured_counts_as_the_first(make_study: MakeStudy) -> None:
    plan = planned(make_study(space=BATCH))
    found = estimate(plan, Meter(refuse=64))
    assert (found.classes, found.measured) == (3, 2)
    assert "1 more count as the first" in render(found)
    with pytest.raises(ConfigError, match="too large"):
        estimate(plan, Meter(refuse=256))


def test_patience_ends_the_measuring_but_not_before_the_baseline(make_study: MakeStudy) -> None:
    meter, seen = Meter(), []
    found = estimate(planned(make_study(space=BATCH)), meter, lambda *told: seen.append(told), patience=-1)
    assert meter.measured == [256]
    assert (found.measured, seen) == (1, [(0, 3, "baseline")])


def test_trials_that_have_ended_cost_nothing_more(
    make_study: MakeStudy, tmp_path: Path, enter: Callable[..., TrialRecord]
) -> None:
    study = make_study(space=BATCH, scheduler={"type": "none"}, budget={"trials": 2, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    plan = make_plan(study, records.directory, {"CPU": 1})
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5})
    found = estimate(plan, Meter())
    assert (found.trials, found.ended) == (1, 1)
    assert "for 1 trial, 1 at once; 1 more have ended" in render(found)
    enter(records, study, 1, {"optim.lr": 0.002}, "failed")
    assert estimate(plan, Meter()).seconds == estimate(plan, Meter()).device_seconds == 0.0


def test_workers_share_the_training_and_cost_each(make_study: MakeStudy) -> None:
    study = make_study(
        space={"optim.lr": {"log_uniform": [1e-4, 1e-2]}}, scheduler={"type": "none"}, resources={"workers": 2}
    )
    found = estimate(planned(study), Meter())
    assert found.training == 50
    assert found.device_seconds == pytest.approx(2 * 6 * (50 + 20 + 1 + TRIAL_START))


def test_the_lines_say_each_part(make_study: MakeStudy) -> None:
    text = render(estimate(planned(make_study(space=BATCH)), Meter()))
    for fact in ("6 trials, 2 at once", "training", "probes 53 s", "start-up", "device-hours", "6 MB", "3 of 3 cost"):
        assert fact in text
    assert "at most" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (2e5, "2 d 7 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert clock(seconds) == words
