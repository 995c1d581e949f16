"""Claim: every search space of the project runs on real images through Ray: its trials complete, and the terms that a
trial switches on are in its losses, finite."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hjepa.search.records import StudyRecords, TrialRecord

pytestmark = [pytest.mark.ray(group="studies"), pytest.mark.slow, pytest.mark.realdata, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
MAIN = "from hjepa.cli.search import main; main()"
SMALL = [
    "data.train_size=1100",  # the largest batch of a space, grown: 1024
    "model.width=24",
    "predictor.width=24",
    "predictor.depth=1",
    "optim.batch_size=64",
    "evaluation.rung_train=100",
    "evaluation.rung_holdout=100",
    "evaluation.labels_per_class=5",
    "evaluation.draws=1",
    "runtime.device=cpu",
]


def run(space: str, directory: Path) -> list[TrialRecord]:
    """The trials of a study of three configurations for one epoch."""
    command = [sys.executable, "-c", MAIN, "run", str(ROOT / "search_spaces" / f"{space}.yaml")]
    command += ["--output", str(directory), "--trials", "3", "--epochs", "1"]
    command += [word for setting in SMALL for word in ("--set", setting)]
    done = subprocess.run(command, env={**os.environ}, text=True, capture_output=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return StudyRecords.open(directory).trials()


def losses(folder: Path) -> dict[str, list[float]]:
    """Every loss of a trial by name, over its logged steps."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.items():
            if line["kind"] == "step" and name.startswith("loss"):
                found.setdefault(name, []).append(math.nan if value is None else value)
    return found


def switched_on(overrides: dict[str, Any]) -> set[str]:
    """The names of the losses that a trial's overrides add."""
    terms = ("vicreg", "cjepa", "ntxent", "sigreg", "invariance")
    return {f"loss.{term}" for term in terms if overrides.get(f"objective.{term}.weight", 0) > 0}


@pytest.mark.parametrize("space", ["phase2", "phase3", "hierarchy", "regularizers", "optimisation"])
def test_a_space_runs_on_real_images(space: str, tmp_path: Path) -> None:
    trials = run(space, tmp_path / "out")
    assert [trial.state for trial in trials] == ["completed"] * 3
    for trial in trials:
        named = losses(trial.directory)
        assert {"loss", "loss.level0"} | switched_on(dict(trial.overrides)) <= named.keys()
        assert all(math.isfinite(value) for values in named.values() for value in values)
    assert len({json.dumps(dict(trial.overrides), sort_keys=True) for trial in trials}) == 3
