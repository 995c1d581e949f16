"""Every trial ends in exactly one state, is never executed twice, and the sampler hears of each configuration once."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.config import Config
from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_json
from hjepa.search.conductor import Conductor
from hjepa.search.goals import Goals
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.roles import Outcome
from hjepa.search.sampler import StudySampler
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
SPACE = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}}
RUNG, FULL = "probe_rung.top1", "probe.top1"


class Told(StudySampler):
    """A sampler that remembers what it was told."""

    def __init__(self, study: Study, directory: Path) -> None:
        name = f"{study.epochs} epochs"
        super().__init__(
            study.space,
            study.spec.sampler,
            trials=study.configurations,
            journal=directory / "journal",
            name=name,
            goals=Goals.of(study.resolved()),
        )
        self.heard: dict[int, tuple[str, float | None, dict[int, float]]] = {}

    def tell(
        self, index: int, outcome: Outcome, value: float | None = None, history: Any = None, facts: Any = None
    ) -> None:
        if index in self.running():
            self.heard[index] = (outcome, value, dict(history or {}))
        super().tell(index, outcome, value, history, facts)


class Seen:
    """A watcher that remembers the states it saw."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {}

    def changed(self, record: TrialRecord, metrics: Any) -> None:
        states = self.states.setdefault(record.id, [])
        if not states or states[-1] != record.state:
            states.append(record.state)


class Bench:
    """One study, and a stand-in for the processes that execute its trials."""

    def __init__(self, study: Study, directory: Path, check: Callable[[Config], None] = lambda config: None) -> None:
        self.study = study
        self.directory = directory / "study"
        self.check = check
        self.executed: list[str] = []

    def open(self) -> Conductor:
        records = StudyRecords.create_or_open(self.directory, self.study, "data")
        self.seen, self.sampler = Seen(), Told(self.study, self.directory)
        return Conductor(
            self.study,
            records,
            self.sampler,
            fingerprint=lambda config: "data",
            check=self.check,
            watchers=(self.seen,),
        )

    def execute(self, conductor: Conductor, trial: TrialRecord, scores: list[float | None]) -> str | None:
        """Run one trial that scores these at its rungs; a last score at full budget completes it."""
        self.executed.append(trial.id)
        conductor.started(trial.id)
        folder = conductor.records.folder(trial.id)
        for epoch, score in enumerate(scores, start=1):
            line = {"kind": "rung", "step": epoch, "epoch": epoch, RUNG: score}
            with (folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            metrics = {RUNG: math.nan if score is None else score}
            reason = conductor.reported(trial.id, {"epoch": epoch, **metrics})
            if reason is not None:
                conductor.ended(trial.id)
                return reason
        if len(scores) == self.study.epochs:
            last = {FULL: scores[-1], RUNG: scores[-1]}
            content = {"state": "completed", "reason": None, "score": scores[-1], "metric": FULL}
            write_json(
                folder / "result.json", {**content, "epoch": len(scores), "rung": len(scores) - 1, "metrics": last}
            )
            conductor.ended(trial.id)
        return None

    def finish(self, conductor: Conductor, score: Callable[[TrialRecord], float]) -> None:
        """Run everything to its end with a constant score per trial."""
        while (trial := conductor.next_trial()) is not None:
            self.execute(conductor, trial, [score(trial)] * self.study.epochs)


@pytest.fixture
def bench(make_study: MakeStudy, tmp_path: Path) -> Callable[..., Bench]:
    def bench(check: Callable[[Config], None] = lambda config: None, **keys: Any) -> Bench:
        keys = {"space": SPACE, "budget": {"trials": 4, "epochs": 3}, "scheduler": {"type": "none"}, **keys}
        return Bench(make_study(**keys), tmp_path, check)

    return bench


def states(bench: Bench) -> list[str]:
    return [record.state for record in StudyRecords.open(bench.directory).trials()]


def test_the_baseline_runs_first_and_the_budget_is_kept(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    study.finish(conductor, lambda trial: 0.1 * trial.index)
    records = StudyRecords.open(study.directory).trials()
    assert [record.index for record in records] == [0, 1, 2, 3]
    assert records[0].overrides == {}
    assert states(study) == ["completed"] * 4
    assert study.executed == [record.id for record in records]
    assert study.sampler.heard[2] == ("completed", 0.2, {1: 0.2, 2: 0.2, 3: 0.2})
    assert all(seen == ["pending", "running", "completed"] for seen in study.seen.states.values())
    assert conductor.finished


def test_the_sampler_hears_the_mean_over_seeds_once_all_have_ended(bench: Callable[..., Bench]) -> None:
    study = bench(seeds=[0, 1], budget={"trials": 2, "epochs": 3})
    conductor = study.open()
    study.finish(conductor, lambda trial: 0.4 + 0.2 * trial.seed)
    assert len(study.executed) == 4
    outcome, value, history = study.sampler.heard[1]
    assert (outcome, value, history) == ("completed", pytest.approx(0.5), pytest.approx(dict.fromkeys((1, 2, 3), 0.5)))


def test_a_stopped_trial_is_pruned_with_all_its_scores(bench: Callable[..., Bench]) -> None:
    study = bench(scheduler={"grace": 0.1, "reduction": 2, "min_trials": 2})
    conductor = study.open()
    first, second = conductor.next_trial(), conductor.next_trial()
    assert first is not None
    assert second is not None
    study.execute(conductor, first, [0.5, 0.6, 0.7])
    reason = study.execute(conductor, second, [0.3, 0.4, 0.5])
    assert reason is not None
    record = conductor.records.trial(second.id)
    assert (record.state, record.reason, record.score, record.metric) == ("early_stopped", reason, 0.3, RUNG)
    assert study.sampler.heard[1] == ("pruned", None, {1: 0.3})


def test_a_score_that_is_not_finite_is_divergence_under_any_scheduler(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    trial = conductor.next_trial()
    assert trial is not None
    assert study.execute(conductor, trial, [0.5, None]) is not None
    record = conductor.records.trial(trial.id)
    assert (record.state, record.score) == ("diverged", None)
    assert study.sampler.heard[0][0] == "failed"


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        ("Traceback\n  here\nValueError: boom", "failed", "ValueError: boom"),
        ("torch.OutOfMemoryError: CUDA out of memory", "out_of_memory", "torch.OutOfMemoryError: CUDA out of memory"),
        ("The actor died because its node has died.", "preempted", "The actor died because its node has died."),
        ("", "failed", "it failed without a word"),
    ],
)
def test_a_failure_is_recorded_and_does_not_stop_the_others(
    bench: Callable[..., Bench], error: str, state: str, reason: str
) -> None:
    study = bench(faults={"crash": 0, "preempted": 0, "out_of_memory": 0})
    conductor = study.open()
    trial = conductor.next_trial()
    assert trial is not None
    conductor.started(trial.id)
    conductor.failed(trial.id, error)
    study.finish(conductor, lambda trial: 0.5)
    record = StudyRecords.open(study.directory).trials()[0]
    assert (record.state, record.reason) == (state, reason)
    assert record.result["traceback"] == error
    assert states(study)[1:] == ["completed"] * 3
    assert study.sampler.heard[0][0] == "failed"


def test_a_trial_that_ends_without_a_result_has_failed(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    trial = conductor.next_trial()
    assert trial is not None
    conductor.started(trial.id)
    conductor.ended(trial.id)
    assert conductor.records.trial(trial.id).state == "failed"


#: Four assignments, two configurations: null level weights mean 1, 0.7, 0.5.
TWICE = {"optim.clip_norm": {"choice": [1.0, 2.0]}, "objective.level_weights": {"choice": [None, [1.0, 0.7, 0.5]]}}


def test_a_repeated_configuration_is_answered_from_the_records(bench: Callable[..., Bench]) -> None:
    study = bench(space=TWICE, sampler={"type": "random"})
    study.finish(study.open(), lambda trial: 0.25 * (1 + trial.index))
    records = StudyRecords.open(study.directory).trials()
    assert len(set(study.executed)) == len(study.executed) == 2, "only two configurations differ"
    copies = [record for record in records if record.state == "duplicate"]
    assert len(copies) == 2
    for copy in copies:
        original = next(record for record in records if record.id == copy.duplicate_of)
        assert (copy.score, copy.config, copy.seed) == (original.score, original.config, original.seed)
        assert copy.id.startswith(f"{original.id}-d")
        assert study.sampler.heard[copy.index][:2] == ("completed", original.score)


def test_a_repeated_configuration_waits_for_its_original(bench: Callable[..., Bench]) -> None:
    study = bench(space=TWICE, sampler={"type": "random"})
    conductor = study.open()
    trials = [trial for _ in range(4) if (trial := conductor.next_trial()) is not None]
    assert len(trials) == 2
    assert states(study) == ["pending"] * 4
    study.open()  # also over a restart
    conductor = study.open()
    for trial in trials:
        study.execute(conductor, trial, [0.5, 0.5, 0.5])
    assert sorted(states(study)) == ["completed", "completed", "duplicate", "duplicate"]


def test_going_on_runs_only_what_is_missing(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    first, second, third = (conductor.next_trial() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    study.execute(conductor, first, [0.5, 0.5, 0.5])
    study.execute(conductor, second, [0.6])
    (interrupted,) = conductor.interrupt("stopped by SIGINT")
    assert (interrupted.id, interrupted.state) == (second.id, "interrupted")
    assert states(study) == ["completed", "interrupted", "pending"]

    again = study.open()
    study.executed.clear()
    again.started(second.id)
    assert [(trial.id, trial.reason) for trial in again.running()] == [(second.id, None)], "what stopped it is over"
    study.finish(study.open(), lambda trial: 0.6)
    assert study.executed[:2] == [second.id, third.id]
    assert len(study.executed) == 3
    assert states(study) == ["completed"] * 4
    assert set(study.sampler.heard) == {1, 2, 3}, "Optuna knew the end of the first one already"
    assert study.open().finished


def test_a_driver_that_died_between_result_and_telling_tells_later(bench: Callable[..., Bench]) -> None:
    study = bench()
    conductor = study.open()
    trial = conductor.next_trial()
    assert trial is not None
    study.execute(conductor, trial, [0.1, 0.2])
    last = {"state": "completed", "reason": None, "epoch": 3, "rung": 2, "metrics": {FULL: 0.4, RUNG: 0.3}}
    write_json(conductor.records.folder(trial.id) / "result.json", last)
    again = study.open()
    assert study.sampler.heard[0] == ("completed", 0.4, {1: 0.1, 2: 0.2})
    assert again.next_trial() != trial


def test_a_lost_journal_is_rebuilt_from_the_records(bench: Callable[..., Bench]) -> None:
    study = bench()
    study.finish(study.open(), lambda trial: 0.1 * trial.index)
    (study.directory / "journal").unlink()
    study.open()
    assert {index: heard[:2] for index, heard in study.sampler.heard.items()} == {
        index: ("completed", pytest.approx(0.1 * index)) for index in range(4)
    }


def test_proposals_without_a_record_are_withdrawn(bench: Callable[..., Bench]) -> None:
    study = bench()
    study.open().next_trial()
    study.sampler.ask(1)  # the driver dies before it writes the trial down
    study.open()
    assert set(study.sampler.running()) == {0}


def test_more_seeds_and_trials_extend_a_study(bench: Callable[..., Bench]) -> None:
    study = bench(budget={"trials": 2, "epochs": 3})
    study.finish(study.open(), lambda trial: 0.5)
    more = bench(budget={"trials": 3, "epochs": 3}, seeds=[0, 1])
    more.finish(more.open(), lambda trial: 0.5)
    records = StudyRecords.open(more.directory).trials()
    assert [(record.index, record.seed) for record in records] == [(i, s) for i in range(3) for s in (0, 1)]
    assert len(more.executed) == 4


def test_rungs_of_an_earlier_run_count_for_the_next(bench: Callable[..., Bench]) -> None:
    study = bench(scheduler={"grace": 0.1, "reduction": 2, "min_trials": 3})
    conductor = study.open()
    for score in (0.6, 0.7):
        trial = conductor.next_trial()
        assert trial is not None
        study.execute(conductor, trial, [score] * 3)
    again = study.open()
    trial = again.next_trial()
    assert trial is not None
    assert study.execute(again, trial, [0.1, 0.1, 0.1]) is not None


def test_a_grid_is_walked_past_any_number_of_points_that_cannot_run(bench: Callable[..., Bench]) -> None:
    def check(config: Config) -> None:
        if 1e-3 < config.optim.lr < 0.014:
            raise ConfigError(["optim.lr: impossible"])

    space = {"optim.lr": {"uniform": [0.001, 0.016], "step": 0.001}}
    study = bench(check, space=space, sampler={"type": "grid"}, budget={"trials": 16, "epochs": 3})
    conductor = study.open()
    study.finish(conductor, lambda trial: 0.5)
    assert [round(trial.overrides.get("optim.lr", 0.001), 4) for trial in conductor.records.trials()] == [
        *(0.001, 0.014, 0.015, 0.016)
    ]
    assert conductor.exhausted == "the grid has no more points"


def test_impossible_proposals_are_skipped_and_then_end_the_study(bench: Callable[..., Bench]) -> None:
    def check(config: Config) -> None:
        if config.optim.lr != 1e-3:
            raise ConfigError(["optim.lr: impossible"])

    study = bench(check)
    conductor = study.open()
    study.finish(conductor, lambda trial: 0.5)
    assert states(study) == ["completed"]
    assert conductor.exhausted is not None
    assert "optim.lr: impossible" in conductor.exhausted
