"""NT-Xent: of all embeddings of a batch, find the other view of the same image.

Source: SimCLR (Chen et al. 2020, arXiv 2002.05709), equation 1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def ntxent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy over the 2 N - 1 other embeddings of two views [N, D], mean over all 2 N.

    Similarity is the cosine over the temperature. log(2 N - 1) where all embeddings are equal.
    """
    count = len(first)
    unit = F.normalize(torch.cat([first, second]), dim=1)
    same = torch.eye(2 * count, dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / temperature).masked_fill(same, float("-inf"))
    other = torch.arange(2 * count, device=unit.device).roll(count)
    return F.cross_entropy(logits, other)
