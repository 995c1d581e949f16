"""Claim: `confirm` runs a search's best and its baseline through Ray on fresh seeds, scores the test split there and
only there, and the same command again runs nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import content
from hjepa.search.study import Study
from tests.tiny import EXPERIMENT, MAIN

pytestmark = [
    pytest.mark.ray(group="studies"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words], cwd=folder, text=True, capture_output=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_winner_of_a_search_is_run_again(
    tmp_path: Path, make_study: Callable[..., Study], enter: Callable[..., TrialRecord]
) -> None:
    study = make_study(base=EXPERIMENT, budget={"trials": 3, "epochs": 1})
    search = StudyRecords.create_or_open(tmp_path / "out", study)
    for index, (overrides, score) in enumerate([({}, 0.4), ({"optim.lr": 0.002}, 0.6), ({"optim.lr": 0.003}, 0.5)]):
        enter(search, study, index, overrides, "completed", epoch=1, metrics={"probe.top1": score})
    out = command(tmp_path, "confirm", "out", "--top", "1", "--seeds", "2")
    assert "selected on the hold-out, reported on test" in out
    trials = StudyRecords.open(tmp_path / "out" / "confirm").trials()
    assert [(trial.cell, trial.seed) for trial in trials] == [
        (cell, seed) for cell in ("reference", "candidate=c1") for seed in (1000, 1001)
    ]
    assert {(trial.state, trial.epoch) for trial in trials} == {("completed", 1)}
    tests = [json.loads((trial.directory / "test.json").read_text())["test.probe.top1"] for trial in trials]
    assert not list((tmp_path / "out" / "trials").rglob("test.json"))
    found = content(search)["selection"]
    (candidate,) = found["confirmation"]["candidates"]
    assert found["state"] in ("confirmed", "not confirmed")
    assert candidate["score"] == pytest.approx(sum(trial.score or 0 for trial in trials[2:]) / 2)
    assert candidate["test_score"] == pytest.approx(sum(tests[2:]) / 2)

    written = {trial.id: (trial.directory / "result.json").stat().st_mtime_ns for trial in trials}
    command(tmp_path, "confirm", "out")
    assert {t.id: (t.directory / "result.json").stat().st_mtime_ns for t in trials} == written
