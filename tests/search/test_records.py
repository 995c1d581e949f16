"""Files are the truth: written whole, never overwritten once final, and read without trusting them."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.runtime import files
from hjepa.runtime.files import write_json
from hjepa.search.files import last_lines, read_json
from hjepa.search.records import FINAL, StudyRecords, TrialRecord
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]


def test_a_new_directory_holds_the_resolved_study_and_the_environment(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs" / "t", study, "abc")
    assert sorted(path.name for path in records.directory.iterdir()) == ["environment.json", "study.yaml"]
    assert StudyRecords.open(records.directory).spec == study.resolved()
    assert read_json(records.directory / "environment.json")["data_fingerprint"] == "abc"  # type: ignore[index]
    assert (records.name, records.metric, records.epochs) == ("t", "probe.top1", 4)


DIFFERENT: list[tuple[dict[str, Any], str]] = [
    ({"study": "other"}, "study t there, other here"),
    ({"objective": {"metric": "knn.top1"}}, "objective.metric probe.top1 there, knn.top1 here"),
    ({"base": {"optim.lr": 0.5}}, "optim.lr 0.001 there, 0.5 here"),
    ({"space": {"optim.lr": {"choice": [0.1, 0.2]}}}, "space.optim.lr"),
    ({"sampler": {"seed": 1}}, "sampler.seed 0 there, 1 here"),
    ({"seeds": [1]}, "seeds 0 there, not here"),
    ({"base": {"data.dataset": "cifar10"}}, "data.dataset digits there, cifar10 here"),
]


@pytest.mark.parametrize(("keys", "words"), DIFFERENT)
def test_the_directory_of_another_study_is_refused_untouched(
    make_study: MakeStudy, tmp_path: Path, keys: dict[str, Any], words: str
) -> None:
    directory = tmp_path / "runs"
    StudyRecords.create_or_open(directory, make_study(), "abc")
    before = {path: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ConfigError) as caught:
        StudyRecords.create_or_open(directory, make_study(**keys), "abc")
    assert len(caught.value.problems) == 1
    assert words in caught.value.problems[0]
    assert "holds another study" in caught.value.problems[0]
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_other_data_under_the_same_name_is_another_study(make_study: MakeStudy, tmp_path: Path) -> None:
    StudyRecords.create_or_open(tmp_path / "runs", make_study(), "abc")
    with pytest.raises(ConfigError, match="data fingerprint abc there, xyz here"):
        StudyRecords.create_or_open(tmp_path / "runs", make_study(), "xyz")


def test_a_study_may_be_extended(make_study: MakeStudy, tmp_path: Path) -> None:
    StudyRecords.create_or_open(tmp_path / "runs", make_study())
    budget = {"trials": 60, "epochs": 4, "hours": 2.0}
    more = make_study(budget=budget, seeds=[0, 1], resources={"cpus": 2}, max_concurrent=3, base={"data.workers": 0})
    StudyRecords.create_or_open(tmp_path / "runs", more)
    assert StudyRecords.open(tmp_path / "runs").spec == more.resolved()


def test_what_a_run_was_killed_over_before_it_wrote_the_study_down_is_no_hindrance(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".study.yaml.k1lled").write_text("study: t\nba")
    with StudyRecords.create_or_open(tmp_path / "runs", make_study()).driving():
        assert not (tmp_path / "runs" / ".study.yaml.k1lled").exists()


@pytest.mark.parametrize("foreign", ["notes.txt", "trials/x"])
def test_a_directory_that_holds_something_else_is_refused(make_study: MakeStudy, tmp_path: Path, foreign: str) -> None:
    (tmp_path / "runs" / foreign).mkdir(parents=True)
    with pytest.raises(ConfigError, match="is not empty and holds no study"):
        StudyRecords.create_or_open(tmp_path / "runs", make_study())
    with pytest.raises(ConfigError, match=r"holds no study\.yaml; allowed the directory of a study"):
        StudyRecords.open(tmp_path / "runs")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [foreign.partition("/")[0]]


def test_a_final_state_is_never_overwritten(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    trial = enter(records, study, 0, {}).id
    assert records.trial(trial).state == "pending"
    assert records.write_result(trial, "interrupted", "stopped")
    assert records.trial(trial).state == "interrupted"
    assert records.write_result(trial, "early_stopped", "below the bar", seconds=3.0)
    before = (records.folder(trial) / "result.json").read_bytes()
    for state in FINAL:
        assert not records.write_result(trial, state, "again")
    assert (records.folder(trial) / "result.json").read_bytes() == before
    assert (records.trial(trial).reason, records.todo()) == ("below the bar", [])


def test_the_end_of_a_stopped_trial_takes_its_numbers_from_its_metrics(
    make_study: MakeStudy, tmp_path: Path, enter: Enter
) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    trial = enter(records, study, 0, {}).id
    lines = [
        {"kind": "full", "epoch": 0, "step": 0, "probe.top1": 0.2},
        {"kind": "rung", "epoch": 1, "step": 5, "probe_rung.top1": 0.3},
        {"kind": "step", "epoch": 1.5, "step": 7, "loss": 1.0},
        {"kind": "rung", "epoch": 2, "step": 10, "probe_rung.top1": 0.4},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "rung", "ep'  # torn by a kill
    (records.folder(trial) / "metrics.jsonl").write_text(text)
    records.write_result(trial, "interrupted", "old news", epoch=1)
    records.write_result(trial, "early_stopped", "below the bar")
    record = records.trial(trial)
    assert (record.score, record.metric, record.epoch, record.rung) == (0.4, "probe_rung.top1", 2, 1)
    assert record.floor == {"probe.top1": 0.2}
    result = read_json(records.folder(trial) / "result.json")
    assert result is not None
    assert {"state", "reason", "score", "epoch", "floor", "environment", "schema_version"} <= set(result)


@pytest.mark.parametrize("state", ["diverged", "failed", "out_of_memory"])
def test_an_end_without_a_score_has_none(make_study: MakeStudy, tmp_path: Path, enter: Enter, state: str) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    record = enter(records, study, 0, {}, state, epoch=2, metrics={"probe_rung.top1": 0.9})
    assert (record.score, record.metric, record.epoch) == (None, None, 2)


def test_what_a_killed_driver_left_is_interrupted_and_what_a_living_one_runs_is_running(
    make_study: MakeStudy, tmp_path: Path, enter: Enter
) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    trial = enter(records, study, 0, {}).id
    with records.driving():
        records.mark(trial, state="running")
        (records.folder(trial) / "metrics.jsonl").write_text("")
        seen = StudyRecords.open(tmp_path / "runs")
        assert seen.trial(trial).state == "running"
        with pytest.raises(ConfigError, match="another run of this study"), seen.driving():
            pass
    assert seen.trial(trial).state == "interrupted"
    assert [record.id for record in seen.todo()] == [trial]


@pytest.mark.parametrize("text", ["", '{"id": ', "[1]", "\x00\x01", "NaN"])
def test_a_file_that_cannot_be_read_is_set_aside_with_one_warning(
    make_study: MakeStudy, tmp_path: Path, enter: Enter, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    record = enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5})
    (record.directory / "result.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert records.trial(record.id).state == "pending"
    assert len(caplog.messages) == 1
    assert "set aside as result.json.corrupt" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    assert (record.directory / "result.json.corrupt").read_text() == text
    caplog.clear()
    assert len(records.trials()) == 1
    assert not caplog.messages


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"a": 2})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["x.json"]
    assert read_json(path) == {"a": 1}


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": [float("nan"), float("inf"), 1.5], "b": {"c": float("-inf")}})
    assert json.loads(path.read_text()) == {"a": [None, None, 1.5], "b": {"c": None}}
    path.write_text('{"a": NaN}\n')  # as other programs may write it
    assert read_json(path) == {"a": None}
    path.write_text(f'{{"a": [-Infinity, 1e999, -1.0E+400, {"9" * 400}.5, 1e-300], "b": "1e999"}}')
    assert read_json(path) == {"a": [None, None, None, None, 1e-300], "b": "1e999"}
    assert last_lines(tmp_path / "absent.jsonl", ("rung",)) == []


def test_an_unknown_trial_is_one_line(make_study: MakeStudy, tmp_path: Path) -> None:
    records = StudyRecords.create_or_open(tmp_path / "runs", make_study())
    with pytest.raises(ConfigError, match=r"nope: no such trial in .*; allowed none yet"):
        records.trial("nope")
