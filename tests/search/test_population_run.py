"""A population on Ray: its members end in full, and a member that has copied another is one run that can be trained
again alone: the exported file gives its score to the last bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hjepa.overrides import load_config, yaml12
from hjepa.search.export import export
from hjepa.search.records import StudyRecords
from hjepa.training import train
from tests.tiny import EXPERIMENT, MAIN

pytestmark = [pytest.mark.ray(group="studies"), pytest.mark.slow, pytest.mark.timeout(600)]

#: An encoder that a few steps change.
LIVELY = {
    "optim.batch_size": 10,
    "ema.start": 0.0,
    "ema.end": 0.5,
    "evaluation.interval": 1,
    "evaluation.rung_train": 100,
    "evaluation.rung_holdout": 150,
}


def test_a_lineage_trained_alone_gives_the_score_of_its_member(tmp_path: Path) -> None:
    study = {
        "study": "population",
        "base": {**EXPERIMENT, **LIVELY},
        "budget": {"trials": 4, "epochs": 4},
        "scheduler": {"type": "pbt", "interval": 0.25, "factors": [0.5, 2.0]},
        "sampler": {"type": "random"},
        "space": {"optim.lr": {"log_uniform": [1e-5, 1e-1]}},
    }
    (tmp_path / "study.yaml").write_text(yaml12.dump(study))
    command = [sys.executable, "-c", MAIN, "run", "study.yaml", "--output", "out"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    records = StudyRecords.open(tmp_path / "out")
    trials = records.trials()
    assert [trial.state for trial in trials] == ["completed"] * 4
    assert "population: " in done.stdout
    members = [trial for trial in trials if trial.lineage]
    assert members, "a member has copied another"
    for member in members:
        file = tmp_path / f"{member.id}.yaml"
        export(records, member, file)
        config = load_config(file)
        assert config.optim.changes is not None
        alone = train(config, tmp_path / member.id)
        assert alone["metrics"]["probe.top1"] == member.score
        assert alone["identity"] == member.result["identity"]
    member = members[0]
    last = json.loads((member.directory / "metrics.jsonl").read_text().splitlines()[-1])
    again = json.loads((tmp_path / member.id / "metrics.jsonl").read_text().splitlines()[-1])
    assert last == again
