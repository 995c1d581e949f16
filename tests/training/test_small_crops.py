"""Claims: small crops are views of their own; as context they lie where they lie in the first view and predict its
cells around them; only the student sees them; what is corrupted is seen by the student alone; parts add up."""

import numpy as np
import pytest
import torch

from hjepa.overrides import ConfigError, load_config
from hjepa.training import Run, build

TINY = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "hierarchy.levels=1",
    "optim.batch_size=16",
    "training.epochs=1",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]
CONTEXT = ["views.locals=3"]


def make(*overrides: str) -> Run:
    return build(load_config(None, [*TINY, *overrides]))


def images(run: Run) -> torch.Tensor:
    return next(iter(run.dataset.train.batches([np.arange(run.config.optim.batch_size)])))


def test_small_crops_predict_the_cells_around_them() -> None:
    run = make(*CONTEXT)
    draws = run.step.draw(8, 1)
    inputs = run.step.cutter.inputs(images(run), draws, slice(0, 16))
    assert inputs.locals is not None and inputs.locals.shape == (48, 3, 16, 16)
    assert inputs.places is not None and inputs.places.shape == (48, 16, 2)
    assert inputs.around is not None and inputs.around.shape == (48, 16)
    cells = torch.stack([inputs.around // 8, inputs.around % 8], -1).float()
    centre = inputs.places.mean(1, keepdim=True)
    inside = ((centre > 1.5) & (centre < 5.5)).all(-1).squeeze(1)  # far enough from the border to be surrounded
    assert inside.any()
    assert torch.allclose(cells.mean(1)[inside], centre.squeeze(1)[inside], atol=1.0)
    out = run.model(inputs)
    assert out.local is not None and out.local.prediction.shape == (48, 16, 32)
    whole = run.model.target_maps(inputs.views)[0]
    assert torch.equal(out.local.target[17], whole[1][inputs.around[17]])


def test_the_targets_never_see_small_crops() -> None:
    run = make(*CONTEXT)
    seen: list[int] = []
    run.model.target_encoder.register_forward_hook(lambda *call: seen.append(call[1][0].shape[-1]))  # type: ignore[union-attr]
    report = run.step(images(run), 1)
    assert seen == [32]
    assert torch.isfinite(torch.as_tensor(report["loss.local"]))


def test_a_moved_crop_changes_what_is_predicted_through_its_places() -> None:
    run = make(*CONTEXT)
    inputs = run.step.cutter.inputs(images(run), run.step.draw(8, 1), slice(0, 16))
    from dataclasses import replace

    moved = replace(inputs, places=inputs.places + 1.0)  # type: ignore[operator]
    a, b = run.model(inputs).local, run.model(moved).local
    assert a is not None and b is not None and not torch.allclose(a.prediction, b.prediction)


@pytest.mark.parametrize("extra", [CONTEXT, ["views.erasing=0.5", "views.noise=0.2", "views.globals=2"]])
def test_parts_add_up(extra: list[str]) -> None:
    whole, parts = make(*extra), make("runtime.micro_batch=4", *extra)
    a, b = whole.step(images(whole), 1), parts.step(images(parts), 1)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-6)
    ours, theirs = whole.model.state_dict(), parts.model.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5


def test_only_the_student_sees_the_corruption() -> None:
    run, clean = make("views.noise=0.5"), make()
    ours = run.step.cutter.inputs(images(run), run.step.draw(8, 1), slice(0, 16))
    theirs = clean.step.cutter.inputs(images(clean), clean.step.draw(8, 1), slice(0, 16))
    assert torch.equal(ours.views, theirs.views) and theirs.student is None
    assert ours.student is not None and not torch.equal(ours.student, ours.views)
    out = run.model(ours).levels[0]
    assert torch.equal(out.target, clean.model(theirs).levels[0].target)
    assert not torch.equal(out.prediction, clean.model(theirs).levels[0].prediction)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["views.locals=2", "views.local_mode=embedding"], "views.locals: got 2"),
        ([*CONTEXT, "views.local_size=10"], "views.local_size: got 10; allowed multiples of model.patch_size 4"),
        ([*CONTEXT, "objective.jepa_weight=0", "objective.supervised.weight=1"], "views.local_mode: got context"),
        (["views.local_size=8"], "views.local_size: got 8; allowed only when views.locals is above 0"),
    ],
)
def test_small_crops_without_a_use_are_refused(settings: list[str], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        load_config(None, settings)
