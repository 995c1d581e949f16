"""Mixed images come with mixed labels, in parts as in the whole batch; corruption reaches the student alone."""

import pytest
import torch

from hjepa.data import Mixing, draw_mixing, mix_images, mix_labels
from hjepa.overrides import ConfigError, load_config
from hjepa.training import Run, build

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
MIXED = ["objective.jepa_weight=0", "objective.supervised.weight=1", "views.mixup=0.8", "views.cutmix=1"]


def make(*overrides: str) -> Run:
    return build(load_config(None, [*TINY, *overrides]))


def batch(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    rows = run.dataset.order(0, 0)[:32]
    return next(iter(run.dataset.train.batches([rows]))), torch.from_numpy(run.dataset.train.labels[rows])


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_loss_is_that_of_the_mixed_batch(kind: str) -> None:
    run = make(*MIXED[:2], f"views.{kind}=1", "objective.supervised.label_smoothing=0.1")
    images, labels = batch(run)
    draws = run.step.draw(images.shape[-1], 1)
    mixing = draw_mixing(run.config.views, 0, 1)
    assert isinstance(mixing, Mixing) and draws.mixing == mixing and (mixing.box is None) == (kind == "mixup")
    inputs = run.step.cutter.inputs(images, draws, slice(0, 32))
    clean = run.step.cutter.views.apply(images, draws.views[0])
    assert torch.equal(inputs.views, mix_images(clean, mixing)) and not torch.equal(inputs.views, clean)
    with torch.no_grad():
        logits = run.model.classifier(run.model.encoder(inputs.views).mean(1))  # type: ignore[misc]
    target = torch.nn.functional.one_hot(labels, 10).float() * 0.9 + 0.01
    expected = -(mix_labels(target, mixing) * logits.log_softmax(1)).sum(1).mean()
    assert float(run.step(images, 1, labels=labels)["loss"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("extra", [MIXED, ["views.erasing=0.5", "views.noise=0.3", "views.augmentation=randaugment"]])
def test_parts_add_up(extra: list[str]) -> None:
    whole, parts = make(*extra), make("runtime.micro_batch=8", *extra)
    images, labels = batch(whole)
    given = labels if extra is MIXED else None
    a, b = whole.step(images, 1, labels=given), parts.step(images, 1, labels=given)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), abs=1e-6)
    ours, theirs = whole.model.state_dict(), parts.model.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5


def test_only_the_student_sees_the_corruption() -> None:
    clean, corrupted = make(), make("views.erasing=0.5", "views.noise=0.3")
    images, _ = batch(clean)
    plain, changed = (run.step.cutter.inputs(images, run.step.draw(8, 1), slice(0, 32)) for run in (clean, corrupted))
    assert plain.student is None and changed.student is not None
    assert torch.equal(plain.views, changed.views) and not torch.equal(changed.student, changed.views)
    with torch.no_grad():
        one, two = (run.model(inputs).levels[0] for run, inputs in ((clean, plain), (corrupted, changed)))
    assert torch.equal(one.target, two.target) and not torch.equal(one.prediction, two.prediction)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["views.mixup=1"], "views.mixup: got 1; allowed only when objective.supervised.weight is above 0"),
        ([*MIXED, "optim.batch_size=31"], "optim.batch_size: got 31; allowed even numbers with views.mixup"),
        (
            [*MIXED, "optim.batch_size=30", "runtime.micro_batch=15"],
            "runtime.micro_batch: got 15; allowed even numbers with views.mixup",
        ),
        (
            [
                "data.dataset=mixture",
                "data.mixture.digits=1",
                "data.mixture.cifar10=1",
                "data.image_size=8",
                *MIXED[:2],
            ],
            "objective.supervised.weight: got 1.0; allowed 0 with data.dataset mixture",
        ),
        (["data.dataset=stl10", *MIXED[:2]], "data.stl10: got both; allowed labelled with objective.supervised"),
    ],
)
def test_what_cannot_be_mixed_or_labelled_is_refused(settings: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [*TINY, *settings])
    assert any(problem.startswith(line) for problem in caught.value.problems)
