"""Claim: a search on Ray of a score and a size within a limit on the size ends with a front of configurations that ran,
and without the ones that are too large."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hjepa.overrides import load_config, yaml12
from hjepa.search.records import StudyRecords
from hjepa.search.refusals import refused
from hjepa.training import parameters
from tests.tiny import EXPERIMENT, MAIN

pytestmark = [pytest.mark.ray(group="studies"), pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_front_of_score_and_size(tmp_path: Path) -> None:
    (tmp_path / "largest.yaml").write_text(yaml12.dump({**EXPERIMENT, "predictor.width": 24}))
    largest = parameters(load_config(tmp_path / "largest.yaml"))
    study = {
        "study": "goals",
        "base": EXPERIMENT,
        "objective": [{"metric": "probe.top1", "mode": "max"}, {"metric": "parameters", "mode": "min"}],
        "constraints": {"parameters": f"<= {largest}"},
        "budget": {"trials": 4, "epochs": 1},
        "scheduler": {"type": "none"},
        "sampler": {"type": "grid"},
        "space": {"predictor.width": {"choice": [8, 16, 24, 512]}},
    }
    (tmp_path / "study.yaml").write_text(yaml12.dump(study))
    command = [sys.executable, "-c", MAIN]
    done = subprocess.run(
        [*command, "run", "study.yaml", "--output", "out"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    records = StudyRecords.open(tmp_path / "out")
    trials = [trial for trial in records.trials() if trial.duplicate_of is None]
    assert {trial.state for trial in trials} == {"completed"}
    assert all(trial.overrides.get("predictor.width") != 512 for trial in trials)
    assert [line["overrides"] for line in refused(records.directory)] == [{"predictor.width": 512}]
    assert all(trial.result["parameters"] <= largest and trial.result["peak_memory_bytes"] > 0 for trial in trials)
    assert "Pareto front: " in done.stdout
    export = [*command, "export", "out", "--pareto", "--output", "front"]
    subprocess.run(export, check=True, cwd=tmp_path, capture_output=True, timeout=60)
    report = subprocess.run(
        [*command, "report", "out", "--format", "json"], check=True, cwd=tmp_path, capture_output=True, timeout=60
    )
    cells = {entry["cell"] for entry in json.loads(report.stdout)["goals"]["front"]}
    assert cells
    assert {path.stem for path in (tmp_path / "front").glob("*.yaml")} == cells
