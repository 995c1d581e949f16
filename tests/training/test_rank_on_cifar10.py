"""Claim: on 6,000 images of CIFAR-10 VICReg raises the effective rank of the features over the plain objective."""

import numpy as np
import pytest

from hjepa.evaluation import extract, statistics
from hjepa.overrides import load_config
from hjepa.training import build

TINY = [
    "data.dataset=cifar10",
    "data.train_size=6000",
    "views.crop_scale=[0.4, 1.0]",
    "masks.context_tokens=24",
    "masks.num_targets=2",
    "model.size=null",
    "model.width=64",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=32",
    "predictor.depth=1",
    "predictor.heads=2",
    "predictor.blocks=joint",
    "ema.start=0.98",
    "optim.batch_size=100",
    "hierarchy.levels=1",
    "training.epochs=2",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]


def rank(seed: int, *settings: str) -> float:
    """Effective rank of the evaluated encoder's features of 1,000 held-out images, after two epochs."""
    run = build(load_config(None, [*TINY, f"seed={seed}", *settings]))
    run.model.train()
    for epoch in range(run.config.training.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(run.dataset.train))
        rows = [order[run.batches.rows(step)] for step in run.batches.steps(epoch)]
        for step, images in zip(run.batches.steps(epoch), run.dataset.train.batches(rows), strict=True):
            run.step(images, step)
    with run.evaluated() as encoder:
        features = extract(encoder, run.dataset.holdout, np.arange(1000), run.evaluator.views, run.device, "last")
    return statistics(features)["features.effective_rank"]


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(600)
def test_a_regulariser_raises_the_rank() -> None:
    for seed in (0, 1):
        settings = ["objective.vicreg.weight=0.01", "objective.vicreg.on=context"]
        plain, vicreg = rank(seed), rank(seed, *settings)
        print(f"seed {seed}: plain {plain:.1f}, VICReg {vicreg:.1f}")
        assert vicreg > 1.3 * plain
