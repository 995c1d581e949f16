"""Claims: micro-batches add up to the large batch's step; weight decay, momentum and rates reach the
step; the target moves once per step, after the optimiser; bf16 stays near fp32 with fp32 state."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hjepa.overrides import load_config
from hjepa.training import Run, build

TINY = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "optim.batch_size=32",
    "training.epochs=1",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]


def make(*overrides: str) -> Run:
    return build(load_config(None, [*TINY, *overrides]))


def images(run: Run, step: int = 0) -> torch.Tensor:
    size = run.config.optim.batch_size
    return next(iter(run.dataset.train.batches([np.arange(step * size, (step + 1) * size)])))


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["model.drop_path=0.5", "views.augmentation=three_augment"],
        ["hierarchy.slots=3", "hierarchy.fpn=concat", "hierarchy.cross_attention=both", "hierarchy.source=both"],
    ],
)
def test_accumulation_equals_the_large_batch(extra: list[str]) -> None:
    whole, parts = make(*extra), make("runtime.micro_batch=8", *extra)
    for step in (1, 2):
        a, b = whole.step(images(whole, step), step), parts.step(images(parts, step), step)
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-6)
    ours, theirs = whole.model.state_dict(), parts.model.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5


def test_target_moves_once_per_step_and_after_the_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("runtime.micro_batch=8", "ema.start=0.9", "ema.end=0.9")
    calls: list[str] = []
    optimise, update = run.optimiser.step, run.model.update_target
    monkeypatch.setattr(run.optimiser, "step", lambda: (calls.append("optimiser"), optimise())[1])
    monkeypatch.setattr(run.model, "update_target", lambda m: (calls.append("target"), update(m))[1])
    before = [p.clone() for p in run.model.target_encoder.parameters()]
    run.step(images(run), 1)
    assert calls == ["optimiser", "target"]
    pairs = zip(before, run.model.encoder.parameters(), run.model.target_encoder.parameters(), strict=True)
    for old, ours, new in pairs:
        assert torch.equal(new, torch.add(old * 0.9, ours, alpha=1.0 - 0.9))


def test_clipping_bounds_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make("optim.clip_norm=0.001")
    seen: list[float] = []
    optimise = run.optimiser.step

    def step() -> None:
        grads = [p.grad for p in run.model.parameters() if p.grad is not None]
        seen.append(float(torch.nn.utils.get_total_norm(grads)))
        optimise()

    monkeypatch.setattr(run.optimiser, "step", step)
    report = run.step(images(run), 1)
    assert float(report["gradient_norm"]) > 0.001
    assert seen[0] == pytest.approx(0.001, rel=1e-3)


def test_bf16_is_near_fp32_and_keeps_fp32_state() -> None:
    exact, fast = make(), make("runtime.precision=bf16")
    dtypes: list[torch.dtype] = []
    fast.model.encoder.blocks[0].fc1.register_forward_hook(lambda *a: dtypes.append(a[2].dtype))
    a, b = exact.step(images(exact), 1), fast.step(images(fast), 1)
    assert dtypes == [torch.bfloat16]
    assert float(b["loss"]) == pytest.approx(float(a["loss"]), rel=0.02)
    assert {p.dtype for p in fast.model.parameters()} == {torch.float32}
    moments = {v.dtype for state in fast.optimiser.state.values() for v in state.values() if torch.is_tensor(v)}
    assert moments == {torch.float32}


def test_the_loss_of_a_fixed_batch_falls(tmp_path: Path) -> None:
    run = make("views.crop=none", "views.flip=0", "optim.lr=3e-3", "ema.start=1", "optim.warmup=0")
    batch = images(run)
    losses = [float(run.step(batch, 1)["loss"]) for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
