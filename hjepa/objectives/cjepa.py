"""C-JEPA: variance, invariance and covariance beside the prediction.

Source: Mo and Tong, NeurIPS 2024 (arXiv 2410.19560); weight 0.001 with 25, 25 and 1 inside. Readers of
the paper differ on where the terms act, so that is a choice; these are its three readings.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hjepa.objectives.vicreg import closeness, covariance_of_views, spread_of_views


@dataclass(frozen=True)
class Parts:
    """The three terms, each a scalar."""

    sim: Tensor
    std: Tensor
    cov: Tensor


def context_mean(context: Tensor, prediction: Tensor, target: Tensor) -> Parts:
    """std and cov of the mean context token, sim between the mean prediction and the mean target; all [V, N, D]."""
    return Parts(closeness(prediction, target), spread_of_views(context), covariance_of_views(context))


def predicted_block_pairs(blocks: Tensor) -> Parts:
    """The terms of every pair of target blocks, [N, M, D] mean predictions with M >= 2, mean over the pairs."""
    views = blocks.transpose(0, 1)
    count = len(views)
    first, second = torch.triu_indices(count, count, offset=1, device=blocks.device)
    # Every block is in equally many pairs, and a pair's cov is the sum over its two.
    cov = 2.0 / count * covariance_of_views(views)
    return Parts(closeness(views[first], views[second]), spread_of_views(views), cov)


def two_views(context: Tensor) -> Parts:
    """The terms between the mean context tokens [2, N, D] of two views of each image."""
    return Parts(closeness(context[0], context[1]), spread_of_views(context), covariance_of_views(context))
