"""A trial of two workers reports to Tune like any other, is stopped early, and gives its resources to the next."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import yaml12
from hjepa.search.records import StudyRecords
from tests.tiny import EXPERIMENT, MAIN

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

STUDY: dict[str, Any] = {
    "study": "nested",
    "base": {**EXPERIMENT, "evaluation.interval": 1, "evaluation.rung_train": 100, "evaluation.rung_holdout": 140},
    "budget": {"trials": 2, "epochs": 2},
    "sampler": {"type": "grid"},
    "scheduler": {"grace": 0.5, "reduction": 4, "min_trials": 2},
    "space": {"evaluation.labels_per_class": {"choice": [None, 2]}},  # two labels a class surely score less
    "resources": {"workers": 2, "cpus": 1},
}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores")
def test_trials_of_two_workers_run_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml12.dump(STUDY))
    command = [sys.executable, "-c", MAIN, "run", "study.yaml", "--output", "out"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=880)
    log = (tmp_path / "out" / "driver.log").read_text()
    assert done.returncode == 0, done.stderr + log
    assert "2 workers of 1 CPU" in done.stderr
    trials = StudyRecords.open(tmp_path / "out").trials()
    assert [trial.state for trial in trials] == ["completed", "early_stopped"], [trial.reason for trial in trials]
    assert all(trial.result["environment"]["workers"] == 2 for trial in trials)
    assert all(trial.score is not None for trial in trials)
