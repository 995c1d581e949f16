"""Variance, invariance and covariance of embeddings across a batch.

Source: VICReg (Bardes et al. 2022, arXiv 2105.04906), code facebookresearch/vicreg. All statistics are
taken across samples, never across the positions of one image: a pure position code would satisfy those.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

#: Added to a variance before its root, as in the official code.
EPSILON = 1e-4


def spread(samples: Tensor, gamma: float = 1.0) -> Tensor:
    """How far the standard deviation of [N, D] falls short of gamma, mean over dimensions: 0 when none does."""
    return F.relu(gamma - (samples.var(0) + EPSILON).sqrt()).mean()


def covariance(samples: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    """Squared covariances of different dimensions of [N, D].

    sum: their sum over D, the official code; mean: their mean over the D (D - 1) pairs, the same up to
    a factor D - 1, whose weight then holds for any width.
    """
    count, width = samples.shape
    centred = samples - samples.mean(0)
    matrix = centred.T @ centred / (count - 1)
    same = torch.eye(width, dtype=torch.bool, device=samples.device)
    total = matrix.masked_fill(same, 0.0).square().sum()
    return total / width if reduction == "sum" else total / (width * (width - 1))


def closeness(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of two [..., N, D], the invariance term."""
    return F.mse_loss(first, second)


def spread_of_views(views: Tensor, gamma: float = 1.0) -> Tensor:
    """`spread` of each of [V, N, D], mean over views; the official half and half for two."""
    return torch.stack([spread(view, gamma) for view in views]).mean()


def covariance_of_views(views: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    """`covariance` of each of [V, N, D], summed over views as in the official code."""
    return torch.stack([covariance(view, reduction) for view in views]).sum()
