"""Claim: `status` says from the files alone what runs, what is best, what failed and why, what was spent and what is
left."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hjepa.cli.search import main
from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.status import render, status
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
DONE = {"seconds": 40.0, "device_seconds": 40.0}


@pytest.fixture
def records(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    """Half a search: two completed, one stopped, one failed, one that was running when its log ends at epoch 2.5."""
    study = make_study(budget={"trials": 8, "epochs": 4}, scheduler={"grace": 0.5, "reduction": 2, "min_trials": 2})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5}, **DONE)
    enter(records, study, 1, {"optim.lr": 0.002}, "completed", epoch=4, metrics={"probe.top1": 0.6}, **DONE)
    stopped = {"metrics": {"probe_rung.top1": 0.3}, "seconds": 20.0, "device_seconds": 20.0}
    enter(records, study, 2, {"optim.lr": 0.003}, "early_stopped", epoch=2, **stopped)
    enter(records, study, 3, {"optim.lr": 0.004}, "failed", reason="ValueError: boom")
    going = enter(records, study, 4, {"optim.lr": 0.005})
    records.mark(going.id, state="running")
    line = {"kind": "step", "step": 5, "epoch": 2.5, "images_per_second": 812.4}
    (going.directory / "metrics.jsonl").write_text(json.dumps(line) + "\n{torn")
    return records


def test_a_study_that_is_being_driven(records: StudyRecords) -> None:
    with records.driving():
        found = status(records, now=time.time() + 7)
        text = render(found)
    assert (found["asked"], found["ended"], found["driven"]) == (8, 4, True)
    (going,) = found["running"]
    assert (going["cell"], going["epoch"], going["images_per_second"]) == ("c4", 2.5, 812.4)
    assert going["silent"] == pytest.approx(7, abs=2)
    assert found["best"] == {"cell": "c1", "score": 0.6, "metric": "probe.top1", "seeds": 1, "counts": True}
    assert found["rungs"] == [{"epoch": 2, "reached": 3, "stopped": 1, "waiting": 0}]
    assert found["device_seconds"] == 100
    assert found["left"] == pytest.approx(10 * (1.5 + 3 * 4)), "10 s an epoch, one trial at once"
    for fact in ("t: running", "4 of 8 ended", "epoch 2.5 of 4", "812 images/s", "ValueError: boom", "0.6000", "c1"):
        assert fact in text


def test_a_study_that_nobody_drives_says_so(records: StudyRecords) -> None:
    found = status(records)
    assert (found["running"], found["driven"]) == ([], False)
    assert found["states"]["interrupted"] == 1
    assert "not running; the command that started it goes on" in render(found)


def test_trials_at_once_share_the_time_left(records: StudyRecords, make_study: MakeStudy, enter: Enter) -> None:
    study = Study.load(records.directory / "study.yaml")
    second = enter(records, study, 5, {"optim.lr": 0.006})
    records.mark(second.id, state="running")
    with records.driving():
        assert status(records)["left"] == pytest.approx(10 * (1.5 + 4 + 2 * 4) / 2)


def test_what_was_interrupted_needs_only_its_rest(records: StudyRecords) -> None:
    going = records.directory / "trials" / next(t.id for t in records.trials() if t.cell == "c4")
    (going / "metrics.jsonl").write_text(json.dumps({"kind": "rung", "step": 1, "epoch": 3, "probe_rung.top1": 0.4}))
    assert status(records)["left"] == pytest.approx(10 * (1 + 3 * 4))


def test_a_score_that_counts_at_a_rung_is_not_said_to_lack_one(
    make_study: MakeStudy, tmp_path: Path, enter: Enter
) -> None:
    study = make_study(objective={"metric": "probe.top1", "at": "best"})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5, "probe_rung.top1": 0.4}, **DONE)
    assert "best so far  0.4000 probe_rung.top1 (baseline)\n" in render(status(records)) + "\n"


def test_trials_that_wait_at_a_rung_for_promotion_mostly_end_there(
    make_study: MakeStudy, tmp_path: Path, enter: Enter
) -> None:
    keys = {"budget": {"trials": 6, "epochs": 4}, "scheduler": {"type": "asha", "variant": "promotion", "grace": 0.25}}
    study = make_study(**keys)
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index in range(4):
        overrides = {"optim.lr": 0.001 + 1e-4 * index} if index else {}
        trial = enter(records, study, index, overrides)
        line = {"kind": "rung", "step": 1, "epoch": 1, "probe_rung.top1": 0.3}
        (trial.directory / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        write_json(trial.directory / "result.json", {"state": "running", "seconds": 10.0, "epoch": 1})
        records.mark(trial.id, state="paused")
    found = status(records)
    assert found["rungs"] == [{"epoch": 1, "reached": 4, "stopped": 0, "waiting": 4}]
    assert found["left"] == pytest.approx(2 * 10), "two more, each about as long as those before"


def test_a_finished_study_has_nothing_left(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(budget={"trials": 1, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    assert status(records)["left"] is None
    assert "no score yet" in render(status(records))
    assert "not known before a trial has trained" in render(status(records))
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5}, **DONE)
    assert status(records)["left"] == 0.0
    assert "finished; hjepa-search report" in render(status(records))
    assert "time left" not in render(status(records))


def test_many_failures_are_cut(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(budget={"trials": 40, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index in range(30):
        enter(records, study, index, {"optim.lr": 0.001 + index * 1e-5}, "diverged", reason=f"reason {index}")
    text = render(status(records))
    assert text.count("reason ") == 12
    assert "18 more failures" in text


def test_a_confirmation_is_counted(records: StudyRecords) -> None:
    tree = dict(records.spec)
    (records.directory / "confirm").mkdir()
    levels = {"baseline": {}, "c1": {"optim.lr": 0.002}}
    spec = {"design": "one_at_a_time", "factors": {"candidate": {"levels": levels}}}
    content = {**tree, "ablation": spec, "seeds": [1000, 1001]}
    (records.directory / "confirm" / "study.yaml").write_text(json.dumps(content))
    assert status(records)["confirmation"] == {"ended": 0, "asked": 4, "driven": False}
    assert "confirmation 0 of 4 trials ended; not running" in render(status(records))


def test_the_command_reads_and_writes_nothing(records: StudyRecords, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in records.directory.rglob("*"))
    for flags in ([], ["--watch"]):
        with pytest.raises(SystemExit) as ended:
            main(["status", str(records.directory), *flags])
        assert ended.value.code == 0
        assert "best so far  0.6000" in capsys.readouterr().out
    assert sorted((path, path.stat().st_mtime_ns) for path in records.directory.rglob("*")) == before


def test_a_trial_without_seconds_counts_nothing(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    trial = enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5})
    write_json(trial.directory / "result.json", {"state": "completed", "seconds": None})
    assert (status(records)["trial_seconds"], status(records)["left"]) == (0.0, None)
