"""Claims: a resumed run equals the uninterrupted one to the bit; a run ends in one state with a reason;
its files hold what they promise; the saved encoder is the EMA target encoder."""

import gc
import json
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

import hjepa
from hjepa.config import Config
from hjepa.overrides import ConfigError, load_config
from hjepa.training import Silent, checkpoint, loop, train

TINY = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "data.train_size=200",
    "optim.batch_size=64",
    "training.epochs=3",
    "runtime.device=cpu",
    "runtime.threads=1",
    "evaluation.rung_train=100",
    "evaluation.rung_holdout=60",
    "evaluation.interval=1",
]


def config(*overrides: str) -> Config:
    return load_config(None, [*TINY, *overrides])


class Recorder(Silent):
    """Keeps reports; stops, or is interrupted, at an epoch."""

    def __init__(self, stop_at: int = 0, interrupt_at: int = 0) -> None:
        self.reports: list[dict[str, Any]] = []
        self.stop_at, self.interrupt_at = stop_at, interrupt_at

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        self.reports.append(metrics)
        assert checkpoint is not None and checkpoint.exists()
        if metrics["epoch"] == self.interrupt_at:
            raise KeyboardInterrupt
        return metrics["epoch"] != self.stop_at


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(directory / "checkpoint.pt")[1]


def lines(directory: Path) -> list[dict[str, Any]]:
    timed = ("images_per_second",)
    found = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in timed} for line in found]


def test_resuming_is_bit_identical(tmp_path: Path) -> None:
    settings = config("model.drop_path=0.2", "runtime.log_interval=1")
    whole = train(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "cut", reporter=Recorder(interrupt_at=1))
    assert json.loads((tmp_path / "cut" / "result.json").read_text())["state"] == "interrupted"
    resumed = train(settings, tmp_path / "cut", resume=True)
    ours, theirs = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    assert whole["score"] == resumed["score"] and resumed["state"] == "completed"


def test_files_of_a_completed_run(tmp_path: Path) -> None:
    recorder = Recorder()
    result = train(config(), tmp_path, reporter=recorder, test=True)
    assert [report["epoch"] for report in recorder.reports] == [1, 2, 3]
    assert "probe.top1" in recorder.reports[-1] and "probe.top1" not in recorder.reports[0]
    assert json.loads(json.dumps(result)) == json.loads((tmp_path / "result.json").read_text())
    assert result["state"] == "completed" and result["reason"] is None
    assert result["metric"] == "probe.top1" and 0 <= result["score"] <= 1
    assert {"probe.top1", "probe_rung.top1", "pixels.probe.top1"} <= set(result["floor"])
    assert result["environment"]["attention"] == "eager" and result["environment"]["threads"] == 1
    assert load_config(tmp_path / "experiment.yaml") == config()
    assert "test.probe.top1" in json.loads((tmp_path / "test.json").read_text())


def test_early_stop_is_never_called_completed(tmp_path: Path) -> None:
    result = train(config(), tmp_path, reporter=Recorder(stop_at=2))
    assert result["state"] == "early_stopped" and result["epoch"] == 2
    assert result["metric"] == "probe_rung.top1" and not (tmp_path / "test.json").exists()


def test_divergence_ends_the_run_with_its_step(tmp_path: Path) -> None:
    result = train(config("optim.lr=1e30", "optim.warmup=0", "optim.clip_norm=null"), tmp_path)
    assert result["state"] == "diverged" and "step" in result["reason"]
    assert result["score"] is None
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_collapse_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = loop.Loop._train_epoch

    def constant(self: loop.Loop, epoch: int) -> None:
        step(self, epoch)
        with torch.no_grad():
            for parameter in self.run.model.target_encoder.parameters():
                parameter.zero_()

    monkeypatch.setattr(loop.Loop, "_train_epoch", constant)
    result = train(config("training.epochs=8", "optim.warmup=0"), tmp_path)
    assert result["state"] == "collapsed" and result["epoch"] < 8 and result["reason"]


def test_zero_epochs_score_the_untrained_encoder(tmp_path: Path) -> None:
    result = train(config("training.epochs=0"), tmp_path)
    assert result["state"] == "completed" and result["epoch"] == 0
    assert result["score"] == result["floor"]["probe.top1"]


def test_saved_encoder_is_the_target_encoder(tmp_path: Path) -> None:
    train(config("evaluation.features=last4"), tmp_path)
    encoder = hjepa.load_encoder(tmp_path)
    embeddings = encoder(torch.randint(0, 256, (5, 3, 28, 28), dtype=torch.uint8))
    assert embeddings.shape == (5, 64) and embeddings.dtype == torch.float32
    stored = weights(tmp_path)
    for name, value in encoder.encoder.state_dict().items():
        assert torch.equal(value, stored[f"target_encoder.{name}"])


def test_unreadable_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError) as error:
        train(config(), tmp_path, resume=True)
    assert str(error.value).count("\n") == 0 and "not a readable checkpoint" in str(error.value)


def test_a_trial_whose_checkpoint_is_cut_off_begins_again_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config("training.epochs=1"), tmp_path, reporter=Recorder(interrupt_at=1))
    file = tmp_path / "checkpoint.pt"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    result = train(config("training.epochs=1"), tmp_path, reporter=Recorder(), resume=True)
    assert (result["state"], result["epoch"]) == ("completed", 1)
    assert "begun again from epoch 0, as its checkpoint was set aside" in result["reason"]
    assert (tmp_path / "checkpoint.pt.corrupt").read_bytes() == data[: len(data) // 2]


def test_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optim\.batch_size: got 512; allowed at most 200"):
        train(config("optim.batch_size=512"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_checkpoint_interval_saves_epochs_and_the_last(tmp_path: Path) -> None:
    saved: list[int] = []
    original = loop.checkpoint.save

    def spy(path: Path, *rest: Any) -> None:
        saved.append(rest[-1].epoch)
        original(path, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.checkpoint, "save", spy)
        train(config("evaluation.interval=3", "runtime.checkpoint_interval=2"), tmp_path)
    assert saved == [0, 2, 3]


def test_scores_are_finite(tmp_path: Path) -> None:
    result = train(config(), tmp_path)
    assert all(math.isfinite(value) for value in result["metrics"].values() if isinstance(value, float))


def test_a_run_that_is_over_leaves_nothing_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[Any]] = []

    def watched(self: loop.Loop, again: Any = loop.Loop.execute) -> None:
        held.extend((weakref.ref(self), weakref.ref(self.run.model)))
        again(self)

    monkeypatch.setattr(loop.Loop, "execute", watched)
    gc.collect()
    gc.disable()  # a circle would wait for it, with all of a trial, while the next one runs
    try:
        train(config("training.epochs=1"), tmp_path / "run", reporter=Silent())
        assert [each() for each in held] == [None, None]
    finally:
        gc.enable()
