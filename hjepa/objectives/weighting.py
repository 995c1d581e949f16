"""How the losses of the levels are weighed against each other.

Each rule turns the levels' losses of a part of a batch into one loss, such that the parts add up to
the batch's, and the weight of each level for the report.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Keeps 1 / loss finite.
EPSILON = 1e-8


def fixed(losses: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Sum of weight times loss."""
    return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum()


def uwso_weights(losses: Tensor, temperature: float, present: Tensor) -> Tensor:
    """The softmax of 1 / loss over a temperature, [L], detached: the smallest loss weighs most.

    losses: [L] of the whole batch; present: [L], whether the level has any target in it; one without
    has loss 0, and weight 0. A temperature far above 1 / loss weighs all equally, one far below gives
    all to the smallest loss.
    Source: UW-SO, soft optimal uncertainty weighting (Kirchdorfer et al. 2024, arXiv 2408.07985).
    """
    scores = 1.0 / (losses.detach() + EPSILON) / temperature
    return scores.masked_fill(~present, float("-inf")).softmax(0)


def kendall(losses: Tensor, log_variances: Tensor, present: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Sum of exp(-s) / 2 * loss + share * s / 2 over the levels, and the weights exp(-s) / 2, detached.

    losses, log_variances (s): [L]; present: as for UW-SO; share: how much of the batch this part is.
    With constant losses s goes to log loss.
    Source: Kendall, Gal and Cipolla 2018 (arXiv 1705.07115), equation 10.
    """
    weights = 0.5 * (-log_variances).exp()
    total = (weights * losses).sum() + 0.5 * share * (log_variances * present).sum()
    return total, weights.detach()
