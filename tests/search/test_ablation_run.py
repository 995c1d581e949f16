"""Claim: an ablation runs through Ray from its file to its report: every cell at full budget with a test score, and
more seeds run the missing trials alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import yaml12
from hjepa.search.records import StudyRecords
from tests.tiny import EXPERIMENT, MAIN

pytestmark = [
    pytest.mark.ray(group="studies"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

STUDY: dict[str, Any] = {
    "study": "tiny",
    "base": EXPERIMENT,
    "budget": {"epochs": 1},
    "ablation": {
        "design": "leave_one_out",
        "factors": {
            "scale": {"without": {}, "with": {"model.layer_scale": 1e-2}},
            "augment": {"without": {}, "with": {"views.augmentation": "three_augment"}},
        },
    },
    "seeds": [0, 1],
    "claims": [{"factor": "scale", "effect": [0.5, 1.0], "source": "a test"}],
}


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words], cwd=folder, text=True, capture_output=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_ablation_of_two_factors_and_two_seeds(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml12.dump(STUDY))
    out = command(tmp_path, "run", "study.yaml", "--output", "out")
    assert "leave_one_out, at this scale" in out
    trials = StudyRecords.open(tmp_path / "out").trials()
    assert [trial.cell for trial in trials] == ["full"] * 2 + ["without_scale"] * 2 + ["without_augment"] * 2
    assert {trial.state for trial in trials} == {"completed"}
    assert all((trial.directory / "test.json").is_file() for trial in trials)
    found = json.loads(command(tmp_path, "report", "out", "--format", "json"))["comparisons"]
    assert [(row["name"], row["seeds"], row["missing"]) for row in found] == [
        ("scale", [0, 1], []),
        ("augment", [0, 1], []),
    ]
    scores = {(trial.cell, trial.seed): trial.score or 0 for trial in trials}
    differences = [100 * (scores["full", seed] - scores["without_scale", seed]) for seed in (0, 1)]
    assert found[0]["differences"] == pytest.approx(differences)
    assert found[0]["test"]["effect"] is not None

    written = {trial.id: (trial.directory / "result.json").stat().st_mtime_ns for trial in trials}
    command(tmp_path, "run", "study.yaml", "--output", "out", "--seeds", "3")
    again = StudyRecords.open(tmp_path / "out").trials()
    assert len(again) == 9
    assert {trial.seed for trial in again if trial.id not in written} == {2}
    untouched = [trial for trial in again if trial.id in written]
    assert all((trial.directory / "result.json").stat().st_mtime_ns == written[trial.id] for trial in untouched)
