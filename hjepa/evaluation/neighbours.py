"""Weighted cosine k-nearest-neighbour classification."""

import torch
from torch.nn import functional as F

from hjepa.evaluation.features import Features, Indices
from hjepa.overrides import ConfigError, problem

#: Similarities held at once.
CHUNK_ENTRIES = 1 << 24


def refuse_large_k(k: int, bank: int) -> None:
    """Raise ConfigError when the bank has fewer than k images."""
    if k > bank:
        raise ConfigError([problem("evaluation.knn_k", k, f"1 to {bank} (the images that neighbours come from)")])


@torch.no_grad()
def knn_accuracy(
    bank: tuple[Features, Indices], scored: tuple[Features, Indices], num_classes: int, k: int, temperature: float
) -> float:
    """Accuracy on `scored` when the k nearest of `bank` vote with weight exp(cosine / temperature).

    Both are (features [n, F], labels [n]). Raises ConfigError when the bank is smaller than k.
    Source: Wu et al. 2018 (arXiv 1805.01978), section 3.4.
    """
    refuse_large_k(k, len(bank[1]))
    keys = F.normalize(torch.from_numpy(bank[0]), dim=1).T
    queries = F.normalize(torch.from_numpy(scored[0]), dim=1)
    bank_labels, labels = torch.from_numpy(bank[1]), torch.from_numpy(scored[1])
    hits = 0
    rows = max(1, CHUNK_ENTRIES // len(bank_labels))
    for query, truth in zip(torch.split(queries, rows), torch.split(labels, rows), strict=True):
        similarity, nearest = (query @ keys).topk(k, dim=1)
        # Relative to the best possible similarity, so that a small temperature does not overflow.
        weight = ((similarity - 1.0) / temperature).double().exp()
        votes = weight.new_zeros(len(query), num_classes).scatter_add_(1, bank_labels[nearest], weight)
        hits += int((votes.argmax(1) == truth).sum())
    return hits / len(labels)
