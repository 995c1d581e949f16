"""Every scheduler, from the line of a study file to the ends of its trials; and a driver that is killed anywhere
goes on to the end that it would have come to.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_json
from hjepa.search.conductor import Conductor
from hjepa.search.records import StudyRecords
from hjepa.search.sampler import StudySampler
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
RUNG, FULL = "probe_rung.top1", "probe.top1"
SPACE = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}}
EPOCHS, TRIALS = 9, 9
COMMON = {"grace": 0.1, "min_trials": 2}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "asha": {"type": "asha", **COMMON},
    "patience": {"type": "asha", "patience": 1, **COMMON},
    "promotion": {"type": "asha", "variant": "promotion", **COMMON},
    "hyperband": {"type": "hyperband", "reduction": 2, "brackets": 2, "seed": 1, **COMMON},
    "brackets": {"type": "hyperband", "variant": "promotion", "seed": 1, **COMMON},
    "median": {"type": "median", **COMMON},
    "percentile": {"type": "percentile", "percentile": 40, **COMMON},
    "none": {"type": "none"},
}


class Killed(Exception):
    """The driver dies."""


class Driver:
    """Executes a study's trials one at a time, each as its index says, and dies after `life` events."""

    def __init__(self, study: Study, directory: Path) -> None:
        self.study, self.directory = study, directory
        self.life = -1
        self.executions: list[str] = []

    def run(self, life: int = -1) -> None:
        """Go on with the study. Raises Killed."""
        self.life = life
        records = StudyRecords.create_or_open(self.directory, self.study, "data")
        journal = self.directory / "optuna.journal"
        self.sampler = StudySampler(self.study.space, self.study.spec.sampler, trials=TRIALS, journal=journal)
        conductor = Conductor(
            self.study, records, self.sampler, fingerprint=lambda config: "data", check=lambda config: None
        )
        while (trial := conductor.next_trial()) is not None:
            self._event()
            conductor.started(trial.id)
            self.executions.append(trial.id)
            self._execute(conductor, trial.id, trial.index)
            self._event()
            conductor.ended(trial.id)
        assert not conductor.waiting
        assert conductor.finished

    def _execute(self, conductor: Conductor, trial: str, index: int) -> None:
        folder = conductor.records.folder(trial)
        path = folder / "metrics.jsonl"
        done = len(path.read_text().splitlines()) if path.is_file() else 0
        for epoch in range(done + 1, EPOCHS + 1):
            value = score(index, epoch)
            with path.open("a") as file:
                file.write(json.dumps({"kind": "rung", "step": epoch, "epoch": epoch, RUNG: value}) + "\n")
            self._event()
            if conductor.reported(trial, {"epoch": epoch, RUNG: value}) is not None:
                return
            self._event()
        metrics = {RUNG: score(index, EPOCHS), FULL: score(index, EPOCHS)}
        write_json(folder / "result.json", {"state": "completed", "reason": None, "epoch": EPOCHS, "metrics": metrics})

    def _event(self) -> None:
        self.life -= 1
        if self.life == 0:
            raise Killed

    def ends(self) -> list[tuple[Any, ...]]:
        """What the records say of each trial."""
        trials = StudyRecords.open(self.directory).trials()
        return [(t.index, t.overrides, t.state, t.reason, t.epoch, t.score) for t in trials]

    def told(self) -> list[tuple[Any, ...]]:
        """What Optuna knows of each configuration."""
        return sorted(
            (t.user_attrs["index"], t.state.name, t.value, t.intermediate_values)
            for t in self.sampler._study.get_trials()
            if "index" in t.user_attrs
        )


def score(index: int, epoch: int) -> float:
    """Curves that cross: those that begin low end high, but for a few."""
    end = 0.3 + 0.5 * (index * 7 % 10) / 10
    return float(round(end * (epoch / EPOCHS) ** (0.2 + 0.3 * (index * 3 % 5)), 6))


@pytest.fixture
def drive(make_study: MakeStudy, tmp_path: Path) -> Callable[..., Driver]:
    def drive(name: str, folder: str = "study") -> Driver:
        keys = {"space": SPACE, "budget": {"trials": TRIALS, "epochs": EPOCHS}, "scheduler": SCHEDULERS[name]}
        return Driver(make_study(**keys), tmp_path / folder)

    return drive


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_reaches_the_ends_of_a_study(drive: Callable[..., Driver], name: str) -> None:
    driver = drive(name)
    driver.run()
    ends = driver.ends()
    states = {state for _, _, state, *_ in ends}
    assert len(ends) == TRIALS
    assert states == ({"completed"} if name == "none" else {"completed", "early_stopped"})
    for index, _, state, reason, epoch, value in ends:
        assert value == score(index, epoch)
        assert (state == "completed") == (epoch == EPOCHS) == (reason is None)
    told = driver.told()
    assert [(index, state) for index, state, *_ in told] == [
        (index, "COMPLETE" if state == "completed" else "PRUNED") for index, _, state, *_ in ends
    ]
    for index, _, _, curve in told:
        epochs = ends[index][4]
        assert curve == {epoch: score(index, epoch) for epoch in range(1, epochs + 1)}, "with all its scores"


def test_promotion_resumes_trials_that_paused(drive: Callable[..., Driver]) -> None:
    driver = drive("promotion")
    driver.run()
    ends = driver.ends()
    best = [index for index, _, state, *_ in ends if state == "completed"]
    assert 1 <= len(best) <= 2
    assert all(epoch in (1, 3) for _, _, state, _, epoch, _ in ends if state == "early_stopped")
    assert all("is not among the best" in reason for *_, state, reason, _, _ in ends if state == "early_stopped")
    times = {driver.executions.count(name) for name in driver.executions}
    assert times == {1, 2, 3}
    records = StudyRecords.open(driver.directory).trials()
    assert {record.promoted for record in records} == {None, 1, 3}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_driver_that_is_killed_anywhere_comes_to_the_same_end(drive: Callable[..., Driver], name: str) -> None:
    whole = drive(name)
    whole.run()
    for life in (4, 11):
        driver = drive(name, f"killed{life}")
        for _ in range(200):
            try:
                driver.run(life)
            except Killed:
                continue
            break
        assert driver.ends() == whole.ends()
        assert driver.told() == whole.told()


def test_a_paused_trial_waits_over_a_restart_and_the_sampler_hears_its_end(drive: Callable[..., Driver]) -> None:
    driver = drive("promotion")
    with pytest.raises(Killed):
        driver.run(7)
    trials = StudyRecords.open(driver.directory).trials()
    assert [(trial.state, trial.epoch, trial.final) for trial in trials[:2]] == [("paused", 1, False)] * 2
    assert {state for _, state, *_ in driver.told()} == {"RUNNING"}, "a pause is no end"
    driver.run()
    assert {state for _, state, *_ in driver.told()} == {"COMPLETE", "PRUNED"}


WRONG = [
    ({"type": "asha", "brackets": 2}, r"scheduler\.brackets: allowed only when scheduler\.type is hyperband"),
    (
        {"type": "median", "reduction": 2},
        r"scheduler\.reduction: allowed only when scheduler\.type is asha or hyperband",
    ),
    ({"type": "none", "seed": 2}, r"scheduler\.seed: allowed only when scheduler\.type is hyperband"),
    ({"variant": "promotion", "patience": 2}, r"scheduler\.patience: got 2; allowed only 0 with promotion"),
    ({"type": "percentile", "percentile": 100}, r"scheduler\.percentile: got 100; allowed less than 100"),
    ({"type": "sha"}, r"scheduler\.type: got .*sha.*; allowed asha, hyperband, median, percentile"),
]


@pytest.mark.parametrize(("scheduler", "line"), WRONG)
def test_a_key_that_would_do_nothing_is_refused(make_study: MakeStudy, scheduler: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        make_study(scheduler=scheduler)


def test_promotion_is_for_trials_of_one_worker(make_study: MakeStudy) -> None:
    with pytest.raises(ConfigError, match=r"resources\.workers: got 2; allowed 1 with scheduler\.variant promotion"):
        make_study(scheduler={"variant": "promotion"}, resources={"workers": 2})


def test_a_record_from_before_a_key_existed_is_the_same_study(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(scheduler={"type": "asha"})
    records = StudyRecords.create_or_open(tmp_path / "s", study)
    assert set(records.spec["scheduler"]) == {"type", "variant", "grace", "reduction", "min_trials", "patience"}
    old = {**records.spec, "scheduler": {"type": "asha", "grace": 0.1, "reduction": 3, "min_trials": 4}}
    from hjepa.overrides import yaml12

    (tmp_path / "s" / "study.yaml").write_text(yaml12.dump(old))
    assert StudyRecords.create_or_open(tmp_path / "s", study).spec == study.resolved()
    with pytest.raises(ConfigError, match=r"scheduler\.patience 0 there, 3 here"):
        StudyRecords.create_or_open(tmp_path / "s", make_study(scheduler={"type": "asha", "patience": 3}))
