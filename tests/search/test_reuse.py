"""Claim: what another study has run, on the same seed and data, is answered from its records, marked with its source,
and does not run again; anything else runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_json
from hjepa.search.budget import Spent, spent_in
from hjepa.search.conductor import Conductor
from hjepa.search.execution.adapters import Proposals
from hjepa.search.execution.order import Order
from hjepa.search.execution.runner import run_study
from hjepa.search.plan import make_plan
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import report
from hjepa.search.reuse import Library
from hjepa.search.sampler import StudySampler
from hjepa.search.status import status
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
FULL, RUNG = "probe.top1", "probe_rung.top1"
SPACE = {"optim.lr": {"uniform": [0.001, 0.004], "step": 0.001}}
KEYS: dict[str, Any] = {
    "space": SPACE,
    "budget": {"trials": 4, "epochs": 2},
    "sampler": {"type": "grid"},
    "scheduler": {"type": "none"},
}


def fingerprint(config: object) -> str:
    return "data"


@pytest.fixture
def earlier(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    """The baseline and one point of the grid on seed 0, and another that failed."""
    study = make_study(**{**KEYS, "study": "earlier"})
    records = StudyRecords.create_or_open(tmp_path / "earlier", study, "data")
    for index, lr in enumerate((None, 0.002)):
        overrides = {} if lr is None else {"optim.lr": lr}
        done = {"epoch": 2, "metrics": {FULL: 0.5 + 0.1 * index, RUNG: 0.4}, "device_seconds": 9.0, "seconds": 9.0}
        trial = enter(records, study, index, overrides, "completed", **done)
        (trial.directory / "metrics.jsonl").write_text(
            json.dumps({"kind": "rung", "step": 1, "epoch": 1, RUNG: 0.3}) + "\n"
        )
    enter(records, study, 2, {"optim.lr": 0.003}, "failed")
    return records


class Run:
    """A study whose trials this process hands out and ends."""

    def __init__(self, study: Study, directory: Path, library: Library) -> None:
        self.records = StudyRecords.create_or_open(directory, study, "data")
        journal = directory / "journal"
        self.sampler = StudySampler(study.space, study.spec.sampler, trials=4, journal=journal)
        check: Callable[[object], None] = lambda config: None  # noqa: E731
        self.conductor = Conductor(study, self.records, self.sampler, fingerprint=fingerprint, check=check)
        self.proposals = Proposals(self.conductor, 0.0, library)
        self.executed: list[str] = []

    def next(self) -> str | None:
        """Hand out a trial and complete it."""
        packed = self.proposals.suggest("t")
        if not isinstance(packed, dict):
            return None
        name = Order.unpack(packed).id
        self.conductor.started(name)
        metrics = {"epoch": 2, "metrics": {FULL: 0.1, RUNG: 0.1}, "device_seconds": 5.0}
        write_json(self.records.folder(name) / "result.json", {"state": "completed", "reason": None, **metrics})
        self.conductor.ended(name)
        self.executed.append(name)
        return name


def test_the_same_trials_are_answered_and_the_others_run(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    library = Library([earlier.directory], fingerprint, test=False)
    run = Run(make_study(**KEYS), tmp_path / "new", library)
    while run.next() is not None:
        pass
    trials = run.records.trials()
    answered = [trial for trial in trials if trial.result.get("reused_from")]
    assert len(library) == 2
    assert {trial.id for trial in answered} | set(run.executed) == {trial.id for trial in trials}
    assert len(run.executed) == 2
    assert not {trial.id for trial in answered} & set(run.executed)
    for trial in answered:
        source = earlier.trial(trial.id)
        assert (trial.state, trial.score, trial.epoch) == ("completed", source.score, 2)
        assert trial.result["reused_from"] == {
            "study": "earlier",
            "directory": str(earlier.directory),
            "trial": source.id,
        }
        assert (trial.directory / "metrics.jsonl").read_text() == (source.directory / "metrics.jsonl").read_text()
    assert not run.sampler.running(), "the sampler has heard of all"
    assert run.conductor.finished
    assert spent_in(trials, 1) == Spent(10.0, 4.0), "what was not run again costs nothing"
    assert status(run.records)["device_seconds"] == 10.0
    assert f"answered from {earlier.directory} and not run again: 2 of the trials" in report(run.records, "table")


def test_what_was_written_down_before_is_answered_when_the_study_goes_on(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(**KEYS)
    nothing = Library([], fingerprint, test=False)
    first = Run(study, tmp_path / "new", nothing).conductor.next_trial()
    assert first is not None
    again = Run(study, tmp_path / "new", Library([earlier.directory], fingerprint, test=False))
    while again.next() is not None:
        pass
    assert first.id not in again.executed
    assert len(again.executed) == 2


@pytest.mark.parametrize("different", [{"seeds": [1]}, {"budget": {"trials": 4, "epochs": 3}}])
def test_another_seed_or_budget_is_another_trial(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path, different: dict[str, Any]
) -> None:
    run = Run(make_study(**KEYS | different), tmp_path / "new", Library([earlier.directory], fingerprint, test=False))
    while run.next() is not None:
        pass
    assert len(run.executed) == 4


def test_other_data_are_other_trials(earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path) -> None:
    library = Library([earlier.directory], lambda config: "others", test=False)
    run = Run(make_study(**KEYS), tmp_path / "new", library)
    while run.next() is not None:
        pass
    assert len(run.executed) == 4


def test_trials_of_the_other_epochs_of_a_study_answer_too(earlier: StudyRecords, make_study: MakeStudy) -> None:
    StudyRecords.create_or_open(
        earlier.directory, make_study(**{**KEYS, "study": "earlier", "budget": {"trials": 4, "epochs": 3}}), "data"
    )
    assert len(Library([earlier.directory], fingerprint, test=False)) == 2


def test_what_is_to_be_tested_is_answered_only_by_what_was(earlier: StudyRecords) -> None:
    assert len(Library([earlier.directory], fingerprint, test=True)) == 0
    write_json(earlier.trials()[0].directory / "test.json", {"probe.top1": 0.5})
    assert len(Library([earlier.directory], fingerprint, test=True)) == 1


def test_results_of_other_studies_are_no_members_of_a_population(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    plan = make_plan(make_study(**{**KEYS, "scheduler": {"type": "pbt"}}), tmp_path / "new", {"CPU": 2})
    with pytest.raises(ConfigError, match=r"--reuse: allowed only without scheduler\.type pbt"):
        run_study(plan, reuse=[earlier.directory])
    assert not plan.directory.exists()


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no study"):
        Library([tmp_path], fingerprint, test=False)
