"""Claim: a budget of device-hours or epochs counts every run and every attempt, ends a study in time, says which part
of it is spent everywhere, and a larger one goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hjepa.runtime.files import write_json
from hjepa.search.budget import ENDING, Ledger, Spent, ending, over, spent_on, write_ending
from hjepa.search.execution.interruption import Interruption, StopStudy
from hjepa.search.plan import make_plan
from hjepa.search.plan import render as render_plan
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import report
from hjepa.search.sections import Budget
from hjepa.search.status import render, status
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
HOUR = {"seconds": 1800.0, "device_seconds": 3600.0}


def record(trial: str = "t", state: str = "running", **facts: Any) -> TrialRecord:
    return TrialRecord(trial, 1, "c", "c1", 0, {}, state, Path(trial), **facts)


def test_attempts_that_went_on_count_once_and_those_that_began_again_each() -> None:
    went_on = {"cause": "crash", "seconds": 50.0, "epoch": 2}
    lost = {"cause": "crash", "seconds": 300.0, "epoch": 5}
    ended = record(state="completed", attempts=(went_on, lost), epoch=4, result={"device_seconds": 160.0})
    assert spent_on(ended, workers=2) == Spent(600.0 + 160.0, 9.0)
    assert spent_on(replace(ended, attempts=(went_on,)), workers=2) == Spent(160.0, 4.0)
    assert spent_on(record(attempts=({"cause": "crash", "seconds": None, "epoch": None},)), 1) == Spent()


def test_a_result_of_another_trial_costs_nothing() -> None:
    result = {"device_seconds": 99.0}
    assert spent_on(record(state="duplicate", duplicate_of="x", epoch=3, result=result), 1) == Spent()
    assert spent_on(record(state="completed", epoch=3, result={**result, "reused_from": {"trial": "x"}}), 1) == Spent()


def test_a_running_trial_takes_devices_by_the_clock_and_its_record_has_the_last_word() -> None:
    now = [0.0]
    ledger = Ledger(Budget(device_hours=1.0), workers=2, now=lambda: now[0])
    ledger.take_up([record("old", "completed", epoch=3, result={"device_seconds": 3000.0})])
    ledger.changed(record(), {})
    now[0] = 290.0
    assert (ledger.spent.device_seconds, ledger.reason) == (3580.0, None)
    now[0] = 310.0
    assert ledger.reason == "the budget of 1 device-hours is spent; a larger budget.device_hours goes on"
    ledger.changed(record(state="completed", epoch=2, result={"device_seconds": 500.0}), {})
    assert (ledger.spent, ledger.reason) == (Spent(3500.0, 5.0), None)


def test_epochs_are_counted_where_they_are_reported() -> None:
    ledger = Ledger(Budget(total_epochs=5), workers=1)
    ledger.changed(record("a"), {})
    ledger.changed(record("a", epoch=2), {"epoch": 2})
    ledger.changed(record("b", epoch=2), {"epoch": 2})
    assert (ledger.spent.epochs, ledger.reason) == (4.0, None)
    ledger.changed(record("a", epoch=3), {"epoch": 3})
    assert ledger.reason == "the budget of 5 epochs in all is spent; a larger budget.total_epochs goes on"


def test_a_trial_that_has_had_its_last_epoch_may_end() -> None:
    ledger = Ledger(Budget(total_epochs=2), workers=1)
    ledger.changed(record("a", epochs=2), {})
    ledger.changed(record("a", epochs=2, epoch=2), {"epoch": 2})
    assert ledger.reason is None
    ledger.changed(record("a", "completed", epochs=2, epoch=2), {})
    assert ledger.reason is not None


def test_a_spent_budget_ends_a_study_between_two_events() -> None:
    interruption = Interruption()
    interruption.check()
    interruption.limit = lambda: over(Budget(total_epochs=1), Spent(0.0, 1.0))
    with pytest.raises(StopStudy, match="budget of 1 epochs in all is spent"):
        interruption.check()
    assert interruption.by_signal is None


@pytest.fixture
def records(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    study = make_study(budget={"trials": 6, "epochs": 4, "device_hours": 2, "total_epochs": 40})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5}, **HOUR)
    write_ending(records.directory, "the budget of 2 device-hours is spent")
    return records


def test_plan_and_status_say_what_is_spent_and_left(records: StudyRecords) -> None:
    line = "1 of 2 device-hours spent, 1 left; 4 of 40 epochs in all spent, 36 left"
    study = Study.load(records.directory / "study.yaml")
    assert f"budget       {line}" in render_plan(make_plan(study, records.directory, {"CPU": 1}))
    assert "0 of 2 device-hours" in render_plan(make_plan(study, records.directory / "none", {"CPU": 1}))
    assert f"budget       {line}" in render(status(records))


def test_what_other_epochs_took_is_spent_too(records: StudyRecords, make_study: MakeStudy) -> None:
    longer = make_study(budget={"trials": 6, "epochs": 8, "device_hours": 2, "total_epochs": 40})
    there = StudyRecords.create_or_open(records.directory, longer)
    line = "budget       1 of 2 device-hours spent, 1 left; 4 of 40 epochs in all spent, 36 left"
    assert line in render_plan(make_plan(longer, records.directory, {"CPU": 1}))
    assert line in render(status(there))


def test_status_and_report_say_why_the_last_run_ended(records: StudyRecords) -> None:
    assert "not running: the budget of 2 device-hours is spent; the command" in render(status(records))
    said = "the last run ended before the study did: the budget of 2 device-hours is spent"
    assert said in report(records, "table")
    assert said in report(records, "json")
    write_ending(records.directory, None)
    assert ending(records.directory) is None
    assert "ended before" not in report(records, "table")
    write_json(records.directory / ENDING, {"stopped": 3})
    assert ending(records.directory) is None


def test_a_larger_budget_is_the_same_study(records: StudyRecords, make_study: MakeStudy) -> None:
    larger = make_study(budget={"trials": 6, "epochs": 4, "device_hours": 3})
    assert StudyRecords.create_or_open(records.directory, larger).spec["budget"]["device_hours"] == 3


def test_without_such_a_budget_nothing_is_said(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    assert "budget       " not in render(status(records))
    assert "budget       " not in render_plan(make_plan(study, records.directory, {"CPU": 1}))
