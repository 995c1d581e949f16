"""Claims: each step has one patch size, drawn alone and evenly; masks, targets, predictions and small crops follow
its grid; every kind of position trains so; evaluation at another resolution moves the scores' input alone."""

from typing import Any

import numpy as np
import pytest
import torch

from hjepa.overrides import ConfigError, load_config
from hjepa.training import Run, build, check

SMALL = [
    "model.size=null",
    "model.width=24",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=24",
    "predictor.depth=1",
    "hierarchy.child_rule=any",
    "optim.batch_size=8",
    "data.train_size=100",
    "runtime.device=cpu",
    "runtime.precision=fp32",
    "runtime.threads=1",
]
FLEXIBLE = "model.patch_sizes=[2,4,8]"


def make(*settings: str) -> Run:
    return build(load_config(None, [*SMALL, *settings]))


def images() -> torch.Tensor:
    return torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def step_of(run: Run, size: int) -> int:
    """A step whose patch size is this one."""
    return next(step for step in range(1, 100) if run.step.drawer._patch_size(step) == size)


def test_sizes_are_drawn_evenly_and_move_no_other_draw() -> None:
    run, plain = make(FLEXIBLE), make()
    drawn = [run.step.drawer._patch_size(step) for step in range(600)]
    assert all(150 < drawn.count(size) < 250 for size in (2, 4, 8))
    step = step_of(run, 4)
    ours, theirs = run.step.draw(8, step), plain.step.draw(8, step)
    assert torch.equal(ours.masks[0].context, theirs.masks[0].context)
    assert torch.equal(ours.views[0].box, theirs.views[0].box)  # type: ignore[arg-type]
    elsewhere = run.step.draw(8, step_of(run, 8))
    assert int(elsewhere.masks[0].targets.max()) < 16


@pytest.mark.parametrize("size", [2, 4, 8])
def test_everything_of_a_step_follows_its_grid(size: int) -> None:
    run = make(FLEXIBLE, "views.locals=1", "views.local_mode=context", "views.local_size=16")
    draws = run.step.draw(8, step_of(run, size))
    inputs = run.step.cutter.inputs(images(), draws, slice(0, 8))
    seen: list[int] = []
    for part in (run.model.encoder, run.model.target_encoder):
        part.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))  # type: ignore[union-attr]
    outputs = run.model(inputs)
    side = 32 // size
    # The target sees all patches, the student the context's and those of the small crop.
    assert seen == [side * side, inputs.context.shape[1], (16 // size) ** 2]
    assert [level.target.shape[1] for level in outputs.levels[1:]] == [(side // 2) ** 2, (side // 4) ** 2]
    assert inputs.places.min() > -8.5 and inputs.places.max() < 16  # in patches of 4 pixels, whatever the step's
    assert int(inputs.around.max()) < side * side and inputs.around.shape[1] == side * side // 4


def test_small_crops_lie_at_the_same_places_whatever_the_patches() -> None:
    run = make(FLEXIBLE, "views.locals=1", "views.local_mode=context", "views.local_size=16")
    drawer = run.step.drawer
    view, crop = drawer.views.draw(8, 8, 0, 1), drawer.small.draw(8, 8, 0, 1, 2)  # type: ignore[union-attr]
    middles = []
    for size in (2, 4, 8):
        where = drawer._places([crop], view, size)
        middles.append(((where + 0.5) * (size / 4) - 0.5).mean(1))  # type: ignore[operator]
    assert torch.allclose(middles[0], middles[1], atol=1e-4) and torch.allclose(middles[2], middles[1], atol=1e-4)


@pytest.mark.parametrize("rope", ["none", "axial", "mixed", "dinov3"])
@pytest.mark.parametrize("positions", ["none", "sincos", "learned"])
def test_every_kind_of_position_trains_at_every_size(positions: str, rope: str) -> None:
    if positions == rope == "none":
        return
    run = make(FLEXIBLE, f"model.positions={positions}", f"model.rope={rope}", "predictor.heads=2")
    for size in (2, 8):
        report = run.step(images(), step_of(run, size))
        assert torch.tensor(float(report["loss"])).isfinite()
        kernel = run.model.encoder.patch_embed
        assert run.optimiser.state[kernel.weight]["exp_avg"].abs().sum() > 0


def test_a_step_in_parts_is_the_whole_step() -> None:
    whole, parts = make(FLEXIBLE, "model.rope=mixed"), make(FLEXIBLE, "model.rope=mixed", "runtime.micro_batch=2")
    step = step_of(whole, 8)
    a, b = (float(run.step(images(), step)["loss"]) for run in (whole, parts))
    assert a == pytest.approx(b, rel=1e-5)


def test_context_is_checked_on_every_grid() -> None:
    run = make(FLEXIBLE, "masks.context_tokens=16")  # a quarter of the 8 x 8 grid
    assert {size: sampler.context_tokens for size, sampler in run.step.drawer.masks.items()} == {2: 64, 4: 16, 8: 4}
    fine = [*SMALL, "model.patch_size=2", "masks.context_tokens=118"]
    check(load_config(None, fine))
    with pytest.raises(ConfigError, match=r"context_tokens: got 118 \(= 30\); allowed at most 28 on the 8x8 grid"):
        check(load_config(None, [*fine, "model.patch_sizes=[2,4]"]))
    odd = [*SMALL, "views.size=48", "hierarchy.levels=2", "masks.strategy=raster", "model.patch_sizes=[4,16]"]
    with pytest.raises(ConfigError, match=r"masks\.strategy: got raster; allowed on an even grid; this one is 3x3"):
        check(load_config(None, odd))


@pytest.mark.slow
def test_features_of_patch_sizes_agree_more_after_training() -> None:
    """Of the same held-out image; trained at one size, their agreement stays where it was (0.65 to 0.66)."""
    settings = [line for line in SMALL if not line.startswith(("data.train_size", "optim.batch_size"))]
    run = build(load_config(None, [*settings, "model.patch_sizes=[4,8]", "optim.lr=2e-3", "optim.batch_size=64"]))
    (held,) = run.dataset.holdout.batches([np.arange(140)])
    view = run.step.drawer.views.plain(held)

    def agreement() -> float:
        with torch.no_grad():
            both = [run.model.encoder(view, patch_size=size).mean(1) for size in (4, 8)]
        centred = [features - features.mean(0) for features in both]
        return float(torch.nn.functional.cosine_similarity(*centred).mean())

    before, order = agreement(), np.random.default_rng(0)
    for step in range(1, 101):
        (stored,) = run.dataset.train.batches([order.integers(0, len(run.dataset.train), 64)])
        run.step(stored, step)
    assert agreement() > before + 0.05


def scored(run: Run, seen: list[Any]) -> torch.Tensor:
    """Features of stored images as probes see them."""
    run.model.evaluated.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    with torch.no_grad():
        return run.model.evaluated.features(run.evaluator.views.plain(images()), "last")


@pytest.mark.parametrize("settings", ["", "model.positions=learned", "model.positions=none model.rope=mixed"])
def test_evaluation_at_another_resolution_moves_the_evaluation_alone(settings: str) -> None:
    run, other = make(*settings.split()), make(*settings.split(), "evaluation.size=48")
    seen: list[int] = []
    first, second = scored(run, seen), scored(other, seen)
    assert seen == [64, 144]
    assert first.shape == second.shape and not torch.allclose(first, second, atol=1e-4)
    a, b = (float(each.step(images(), 1)["loss"]) for each in (run, other))
    assert a == b
