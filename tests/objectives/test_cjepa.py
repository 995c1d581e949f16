"""Claims: C-JEPA's three readings are VICReg's terms where each says they act."""

import itertools

import torch
from torch.nn import functional as F

from hjepa.objectives.cjepa import context_mean, predicted_block_pairs, two_views
from hjepa.objectives.vicreg import covariance, spread
from tests.objectives.oracle import det


def test_pairs_of_blocks_are_averaged() -> None:
    blocks = det(16, 4, 6)
    found = predicted_block_pairs(blocks)
    pairs = list(itertools.combinations(blocks.unbind(1), 2))
    assert torch.allclose(found.sim, torch.stack([F.mse_loss(a, b) for a, b in pairs]).mean())
    assert torch.allclose(found.std, torch.stack([(spread(a) + spread(b)) / 2 for a, b in pairs]).mean())
    assert torch.allclose(found.cov, torch.stack([covariance(a) + covariance(b) for a, b in pairs]).mean())


def test_two_blocks_are_two_views() -> None:
    views = det(2, 16, 6)
    one, other = predicted_block_pairs(views.transpose(0, 1)), two_views(views)
    assert all(torch.allclose(getattr(one, name), getattr(other, name)) for name in ("sim", "std", "cov"))


def test_context_mean_compares_prediction_and_target() -> None:
    context, prediction, target = det(1, 16, 6), det(1, 16, 6, a=0.4), det(1, 16, 6, a=0.5)
    found = context_mean(context, prediction, target)
    assert torch.allclose(found.sim, F.mse_loss(prediction, target))
    assert torch.allclose(found.std, spread(context[0])) and torch.allclose(found.cov, covariance(context[0]))
