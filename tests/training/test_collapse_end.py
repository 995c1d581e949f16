"""Claims: a run whose targets are trained by gradient without a regulariser ends as collapsed, with one it does not; a
run in which one level takes all the weight ends so, too, and has the weights in every report."""

import json
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import load_config
from hjepa.training import train

TINY = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "data.train_size=400",
    "optim.batch_size=64",
    "optim.warmup=0",
    "training.epochs=5",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
    "evaluation.rung_train=100",
    "evaluation.rung_holdout=60",
    "evaluation.interval=1",
]
#: The target is the student's own embedding, and the gradient passes through it.
OPEN = ["target.encoder=none", "hierarchy.levels=1", "optim.lr=1e-2"]


def run(folder: Path, *settings: str) -> dict[str, Any]:
    return train(load_config(None, [*TINY, *settings]), folder)


@pytest.mark.slow
def test_targets_trained_by_gradient_collapse(tmp_path: Path) -> None:
    ended = run(tmp_path, *OPEN)
    assert ended["state"] == "collapsed" and ended["epoch"] < 5
    assert ended["reason"].startswith("features.std") and "3 checks in a row" in ended["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("term", ["objective.vicreg.weight=0.1", "objective.sigreg.weight=0.05"])
def test_a_regulariser_keeps_them_apart(tmp_path: Path, term: str) -> None:
    ended = run(tmp_path, *OPEN, term)
    assert ended["state"] == "completed"
    assert ended["metrics"]["features.std"] > 0.5 * ended["floor"]["features.std"]


@pytest.mark.slow
def test_one_level_that_takes_all_ends_the_run(tmp_path: Path) -> None:
    ended = run(tmp_path, "objective.weighting=uwso", "objective.uwso_temperature=0.01", "runtime.log_interval=1")
    assert ended["state"] == "collapsed" and ended["epoch"] == 3
    assert "of the weight of all levels" in ended["reason"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["kind"] == "step" or line["epoch"]:
            assert sum(line[f"weight.level{level}"] for level in range(3)) == pytest.approx(1.0, abs=1e-5)
    assert ended["metrics"]["weight.level1"] > 0.99
