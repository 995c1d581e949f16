"""The report is a contract: exact keys, no NaN, floors, and no ranking across metrics."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hjepa.search.analysis import floors, standings, winner
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import content, report
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class _Objective(_Strict):
    metric: str
    mode: str
    at: Literal["final_budget", "best", "last"] | None


class _Row(_Strict):
    id: str
    config: str
    cell: str
    seed: int
    state: str
    reason: str | None
    score: float | None = Field(ge=0, le=1)
    metric: str | None
    epoch: int | None
    rung: int | None
    duplicate_of: str | None
    attempts: int
    micro_batch: int | None
    overrides: dict[str, object]
    mlflow_run_id: str | None
    path: str


class _Report(_Strict):
    schema_version: int = Field(ge=1, le=1)
    study: str
    objective: list[_Objective] = Field(min_length=1)
    floor: float | None
    trials: list[_Row]
    selection: dict[str, object]
    goals: dict[str, object]
    importances: dict[str, object]
    agreement: dict[str, object]
    early_stopping: dict[str, object]
    population: dict[str, object] | None
    findings: dict[str, object]
    configurations: list[dict[str, object]]
    curves: list[dict[str, object]]
    level_probes: object
    untrained: dict[str, object] | None
    environment: dict[str, object]
    title: str
    heading: str
    notes: list[str]


@pytest.fixture
def records(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    """A study that has met every kind of end."""
    study = make_study(seeds=[0, 1])
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    done = {"epoch": 4, "rung": 3}
    for seed, score in ((0, 0.50), (1, 0.60)):
        enter(records, study, 0, {}, "completed", seed=seed, **done, metrics={"probe.top1": score})
    for seed, score in ((0, 0.58), (1, 0.62)):
        overrides = {"optim.lr": 0.002}
        enter(records, study, 1, overrides, "completed", seed=seed, **done, metrics={"probe.top1": score})
    enter(records, study, 2, {"optim.lr": 0.003}, "completed", **done, metrics={"probe.top1": 0.9})  # one seed only
    stopped = {"probe_rung.top1": 0.95, "probe.top1": 0.99}  # a floor's full probe must not count
    enter(records, study, 3, {"optim.lr": 0.004}, "early_stopped", epoch=1, metrics=stopped)
    enter(records, study, 4, {"optim.lr": 0.005}, "diverged", reason="loss is nan", epoch=1, metrics=stopped)
    nothing = {"probe.top1": float("nan")}
    enter(records, study, 5, {"optim.lr": 0.006}, "completed", **done, metrics=nothing)
    enter(records, study, 6, {"optim.lr": 0.007})
    original = records.trials()[0]
    copy = enter(records, study, 7, {"optim.lr": 0.008})
    records.mark(copy.id, duplicate_of=original.id, mlflow_run_id="abc")
    records.write_result(copy.id, "duplicate", f"the same configuration as {original.id}")
    return records


def test_json_keeps_the_contract(records: StudyRecords) -> None:
    text = report(records, "json")
    assert "NaN" not in text
    parsed = _Report.model_validate(json.loads(text))
    assert (parsed.study, parsed.objective[0].metric, parsed.objective[0].at) == ("t", "probe.top1", "final_budget")
    assert parsed.floor == pytest.approx(0.2)
    assert set(json.loads(text)) == set(_Report.model_fields)
    assert all(list(row) == list(_Row.model_fields) for row in json.loads(text)["trials"])
    assert all(row.path == f"trials/{row.id}" for row in parsed.trials)


def test_each_row_says_what_became_of_the_trial(records: StudyRecords) -> None:
    rows = {(row["cell"], row["seed"]): row for row in json.loads(report(records, "json"))["trials"]}
    assert rows["baseline", 0]["overrides"] == {}
    stopped = rows["c3", 0]
    assert (stopped["score"], stopped["metric"], stopped["epoch"]) == (0.95, "probe_rung.top1", 1)
    diverged = rows["c4", 0]
    assert (diverged["score"], diverged["metric"], diverged["reason"]) == (None, None, "loss is nan")
    assert (rows["c5", 0]["score"], rows["c6", 0]["state"]) == (None, "pending")
    copy = rows["c7", 0]
    assert (copy["state"], copy["score"], copy["epoch"]) == ("duplicate", 0.5, 4)
    assert (copy["duplicate_of"], copy["mlflow_run_id"]) == (rows["baseline", 0]["id"], "abc")
    assert rows["baseline", 0]["config"] == rows["baseline", 1]["config"]


def test_another_objective_is_read_from_the_same_files(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(objective={"metric": "knn.top1"})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, score=0.9, metric="probe.top1", metrics={"knn.top1": 0.3})
    row = json.loads(report(records, "json"))["trials"][0]
    assert (row["score"], row["metric"]) == (0.3, "knn.top1")


def test_ranking_averages_seeds_and_never_mixes_metrics(records: StudyRecords) -> None:
    ranked = standings(records)
    cells = [(entry.rank, entry.cell, entry.metric) for entry in ranked if entry.score is not None]
    # All seeds first; c2's single lucky seed cannot win; the stopped c3 has the highest number and no rank.
    assert cells == [
        (1, "c1", "probe.top1"),
        (2, "baseline", "probe.top1"),
        (3, "c2", "probe.top1"),
        (None, "c3", "probe_rung.top1"),
    ]
    best = winner(records)
    assert best is not None
    assert (best.cell, best.score) == ("c1", pytest.approx(0.60))
    assert best.spread == pytest.approx(0.0283, abs=1e-4)
    assert floors(records.trials())["pixels.probe.top1"] == pytest.approx(0.25)


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_people_read_floors_states_the_winner_and_the_next_command(records: StudyRecords, style: str) -> None:
    text = report(records, style)  # type: ignore[arg-type]
    assert "untrained encoder 0.2000, raw pixels 0.2500" in text
    assert "6 completed, 1 early_stopped, 1 diverged, 1 duplicate, 1 pending" in text
    assert "selected, unconfirmed: c1" in text
    assert "+40.0 points over the floor" in text and "own untrained encoder" not in text
    assert f"hjepa-search export {records.directory} --best --output best.yaml" in text
    assert "\x1b" not in text
    assert "optim.lr=0.002" in text
    assert max(map(len, text.splitlines()[:20])) < 200


def test_a_configuration_that_training_made_worse_is_named(make_study: MakeStudy, enter: Enter, tmp_path: Path) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index, score, own in ((0, 0.4, 0.2), (1, 0.6, 0.58), (2, 0.55, 0.56)):
        floor = {"floor": {"probe.top1": own}, "metrics": {"probe.top1": score}}
        enter(records, study, index, {"optim.lr": 0.001 * (1 + index)} if index else {}, "completed", epoch=4, **floor)
    for style in ("table", "markdown", "json"):
        text = report(records, style)  # type: ignore[arg-type]
        assert "c1" in text and "+40.0 points over the floor and +2.0 over its own untrained encoder" in text
        assert "no better than their own untrained encoder: c2 (0.5500, untrained 0.5600)" in text
    assert [row["cell"] for row in content(records)["untrained"]["rows"]] == ["c2"]


def test_a_long_table_is_cut_and_says_so(records: StudyRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hjepa.search.reports.report.SHOWN", 2)
    text = report(records, "table")
    assert "and 5 more configurations; every other --format holds them all" in text
    assert "optim.lr=0.003" not in text
    assert "optim.lr=0.003" in report(records, "markdown")


def test_csv_has_a_column_for_each_searched_field(records: StudyRecords) -> None:
    rows = list(csv.DictReader(io.StringIO(report(records, "csv"))))
    assert len(rows) == 10
    assert rows[0]["optim.lr"] == ""
    assert (rows[2]["optim.lr"], rows[2]["score"]) == ("0.002", "0.58")


def test_an_empty_study_reports_itself(make_study: MakeStudy, tmp_path: Path) -> None:
    records = StudyRecords.create_or_open(tmp_path / "runs", make_study())
    content = json.loads(report(records, "json"))
    assert (content["floor"], content["trials"]) == (None, [])
    assert "no trial has completed yet" in report(records, "table")
    assert winner(records) is None
