"""Claim: a few steps and a small probe tell what a run takes; nothing is written and no test image is read."""

from pathlib import Path

import pytest

from hjepa.data import Dataset
from hjepa.overrides import ConfigError, load_config
from hjepa.training import train
from hjepa.training.calibrate import calibrate

pytestmark = pytest.mark.slow

TINY = [
    *("data.train_size=200", "model.size=null", "model.width=16", "model.depth=1", "model.heads=2"),
    *("predictor.width=16", "predictor.depth=1", "predictor.heads=2", "hierarchy.levels=1", "optim.batch_size=50"),
    *("training.epochs=4", "evaluation.rung_train=100", "evaluation.rung_holdout=60", "runtime.device=cpu"),
]


def test_the_parts_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(overrides=[*TINY, "runtime.threads=1"])
    with monkeypatch.context() as closed:
        closed.setattr(Dataset, "test", lambda self: pytest.fail("the test split was opened"))
        cost = calibrate(config, seconds=0.5, test=True)
    assert list(tmp_path.iterdir()) == []
    result = train(config, tmp_path / "run")
    assert 0.1 * result["train_seconds"] < cost.training < 10 * result["train_seconds"]
    assert 0.1 * result["probe_seconds"] < cost.probes < 10 * result["probe_seconds"]
    assert 0 < cost.start < 30
    size = (tmp_path / "run" / "checkpoint.pt").stat().st_size
    assert 0.5 * size < cost.checkpoint_bytes <= size


def test_more_epochs_take_more_training_and_the_same_start() -> None:
    short = calibrate(load_config(overrides=TINY), seconds=0.3)
    long = calibrate(load_config(overrides=[*TINY, "training.epochs=400"]), seconds=0.3)
    assert long.training > 20 * short.training
    assert long.checkpoint_bytes == short.checkpoint_bytes


@pytest.mark.parametrize(
    "settings", [["evaluation.labels_per_class=5"], ["evaluation.soup=uniform"], ["optim.batch_schedule=linear"]]
)
def test_other_runs_are_measured_too(settings: list[str]) -> None:
    cost = calibrate(load_config(overrides=[*TINY, *settings]), seconds=0.3)
    plain = calibrate(load_config(overrides=TINY), seconds=0.3)
    assert cost.training > 0 < cost.probes
    assert (cost.checkpoint_bytes > plain.checkpoint_bytes) == (settings == ["evaluation.soup=uniform"])


def test_missing_data_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HJEPA_DATA", raising=False)
    with pytest.raises(ConfigError, match="HJEPA_DATA"):
        calibrate(load_config(overrides=["data.dataset=cifar10"]))
