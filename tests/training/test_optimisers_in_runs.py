"""Claims: with every optimiser and with growing batches a resumed run equals the whole one to the bit, and neither
probes nor checkpoints move it; Schedule-Free is probed and saved at its averages; a batch that has grown is the
step of one large batch; the rates and sizes of a growing run are those of its plan."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hjepa
from hjepa.config import Config
from hjepa.optim import Schedule
from hjepa.overrides import ConfigError, load_config
from hjepa.training import Run, Silent, build, checkpoint, train
from hjepa.training.loop import Loop

TINY = [
    "model.size=null",
    "model.width=16",
    "model.depth=1",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "data.train_size=200",
    "optim.batch_size=40",
    "training.epochs=3",
    "runtime.device=cpu",
    "runtime.threads=1",
    "runtime.precision=fp32",
    "evaluation.rung_train=60",
    "evaluation.rung_holdout=40",
    "evaluation.interval=1",
]
GROWING = ["optim.batch_size=20", "optim.batch_schedule=linear", "optim.batch_growth=3", "optim.batch_lr=sqrt"]
KINDS = {
    "schedule_free": ["optim.optimiser=schedule_free"],
    "schedule_free without a target": ["optim.optimiser=schedule_free", "target.encoder=stop_gradient"],
    "lars": ["optim.optimiser=lars", "optim.lr=0.5"],
    "growing": GROWING,
}


def config(*overrides: str) -> Config:
    return load_config(None, [*TINY, *overrides])


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(directory / "checkpoint.pt")[1]


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def step_lines(directory: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == "step"]


class Interrupt(Silent):
    """Interrupts a run at an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        if metrics["epoch"] == self.epoch:
            raise KeyboardInterrupt
        return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_whole_run(tmp_path: Path, kind: str) -> None:
    settings = config(*KINDS[kind])
    whole = train(settings, tmp_path / "whole")
    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(settings, tmp_path / "cut", reporter=Interrupt(epoch), resume=True)
    resumed = train(settings, tmp_path / "cut", resume=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert whole["metrics"] == resumed["metrics"]


@pytest.mark.slow
def test_neither_probes_nor_checkpoints_move_a_schedule_free_run(tmp_path: Path) -> None:
    settings = [*KINDS["schedule_free without a target"]]
    train(config(*settings), tmp_path / "often")
    train(config(*settings, "evaluation.interval=3", "runtime.checkpoint_interval=3"), tmp_path / "once")
    assert equal(weights(tmp_path / "often"), weights(tmp_path / "once"))


def test_schedule_free_is_probed_and_saved_at_its_averages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    original = Loop._full

    def spy(self: Loop, encoder: Any) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in encoder.state_dict().items()})
        trained.append(encoder)
        return original(self, encoder)

    trained: list[Any] = []
    monkeypatch.setattr(Loop, "_full", spy)
    train(config(*KINDS["schedule_free without a target"]), tmp_path)
    loaded = hjepa.load_encoder(tmp_path).encoder.state_dict()
    assert equal(seen[-1], loaded)
    assert not equal(trained[-1].state_dict(), loaded), "training goes on at other weights than the averages"


def made(*overrides: str) -> Run:
    return build(load_config(None, [*TINY, *overrides]))


def test_the_moving_average_follows_the_weights_that_train() -> None:
    run = made(*KINDS["schedule_free"], "ema.start=0.5", "ema.end=0.5")
    target = run.model.target_encoder
    assert target is not None
    for step in (1, 2, 3):
        before = [p.clone() for p in target.parameters()]
        run.step(next(iter(run.dataset.train.batches([np.arange(40)]))), step)
        for old, ours, new in zip(before, run.model.encoder.parameters(), target.parameters(), strict=True):
            assert torch.equal(new, torch.add(old * 0.5, ours, alpha=0.5))
    with run.evaluated() as encoder:
        assert encoder is target, "which no mode of the optimiser touches"


def test_a_grown_batch_is_the_step_of_one_large_batch() -> None:
    """Its draws are those of the whole batch, its passes of the first batch's size."""
    grown, large = made(*GROWING, "optim.lr_scaling=sqrt"), made("optim.batch_size=60", "optim.lr_scaling=sqrt")
    rows = next(iter(large.dataset.train.batches([np.arange(60)])))
    large.step.schedule = Schedule(large.config.optim, large.config.ema, grown.batches.total)
    passes: list[int] = []
    grown.model.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    for step in (1, 2):
        ours, theirs = grown.step(rows, step), large.step(rows, step)
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-5)
        assert ours["lr"] == pytest.approx(theirs["lr"], rel=1e-12), "the square root of the whole batch"
    assert passes == [20] * 6
    pairs = zip(grown.model.parameters(), large.model.parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in pairs) < 1e-5


def test_a_growing_run_follows_its_plan(tmp_path: Path) -> None:
    settings = config(*GROWING, "runtime.log_interval=1")
    plan = build(settings).batches
    result = train(settings, tmp_path)
    lines = step_lines(tmp_path)
    assert [line["batch"] for line in lines] == [plan.size(step) for step in range(1, plan.total + 1)]
    assert {20.0, 40.0, 60.0} == {line["batch"] for line in lines}
    schedule = Schedule(settings.optim, settings.ema, plan.total)
    expected = [schedule.at(step, plan.size(step)).lr for step in range(1, plan.total + 1)]
    assert [line["lr"] for line in lines] == pytest.approx(expected, rel=1e-12)
    assert lines[-1]["epoch"] == 3.0 and result["state"] == "completed"


def test_growth_beyond_the_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"optim\.batch_growth: got 11; allowed at most 10"):
        made(*GROWING, "optim.batch_growth=11")
