"""Claims: the supervised baseline is the same code: labels reach the loss, it learns, it has no target and no
predictor; two views double the predictions; micro-batches add up in both."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hjepa.overrides import ConfigError, load_config
from hjepa.training import Run, build

pytestmark = pytest.mark.slow

TINY = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "optim.batch_size=32",
    "training.epochs=1",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]
SUPERVISED = ["objective.jepa_weight=0", "objective.supervised.weight=1"]


def make(*overrides: str) -> Run:
    return build(load_config(None, [*TINY, *overrides]))


def batch(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    rows = np.arange(run.config.optim.batch_size)
    return next(iter(run.dataset.train.batches([rows]))), torch.from_numpy(run.dataset.train.labels[rows])


def test_the_supervised_loss_is_the_cross_entropy_of_the_pooled_student() -> None:
    run = make(*SUPERVISED, "objective.supervised.label_smoothing=0.1")
    assert run.model.target_encoder is None and len(run.model.predictors) == 0
    images, labels = batch(run)
    inputs = run.step.cutter.inputs(images, run.step.draw(images.shape[-1], 1), slice(0, 32))
    with torch.no_grad():
        logits = run.model.classifier(run.model.encoder(inputs.views).mean(1))  # type: ignore[misc]
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    assert float(run.step(images, 1, labels=labels)["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_supervised_training_fits_a_batch() -> None:
    run = make(*SUPERVISED, "views.crop=none", "views.flip=0", "optim.lr=3e-3", "optim.warmup=0")
    images, labels = batch(run)
    losses = [float(run.step(images, 1, labels=labels)["loss"]) for _ in range(80)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("extra", [["views.globals=2"], [*SUPERVISED, "model.drop_path=0.5"]])
def test_parts_add_up(extra: list[str]) -> None:
    whole, parts = make(*extra), make("runtime.micro_batch=8", *extra)
    images, labels = batch(whole)
    given = labels if "objective.jepa_weight=0" in extra else None
    a, b = whole.step(images, 1, labels=given), parts.step(images, 1, labels=given)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-6)
    ours, theirs = whole.model.state_dict(), parts.model.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5


def test_two_views_are_drawn_apart_and_leave_the_first_as_it_was() -> None:
    one, two = make().step.draw(8, 3), make("views.globals=2").step.draw(8, 3)
    assert torch.equal(one.views[0].box, two.views[0].box)  # type: ignore[arg-type]
    assert torch.equal(one.masks[0].targets, two.masks[0].targets)
    assert not torch.equal(two.views[0].box, two.views[1].box)  # type: ignore[arg-type]
    assert two.masks[0].targets.shape == two.masks[1].targets.shape
    assert two.counts[0] == 2 * one.counts[0]


def test_an_objective_without_terms_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one term"):
        load_config(None, ["objective.jepa_weight=0"])
