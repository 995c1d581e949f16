"""Averages of weights that lie in one basin: those of a run's last epochs.

Averaged weights are one encoder, no slower than any of its ingredients. Sources: Izmailov et al. 2018
(arXiv 1803.05407) for a run's last weights; Wortsman et al. 2022 (arXiv 2203.05482) for soups.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def uniform_soup(ingredients: Sequence[Weights]) -> dict[str, Tensor]:
    """The mean of each floating tensor; whole numbers are the first ingredient's.

    Summed in float64, so that the mean of equal weights is those weights to the bit.
    """
    first = ingredients[0]
    return {name: _mean([each[name] for each in ingredients]) for name in first}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[0].clone()
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor in tensors:
        total += tensor
    return (total / len(tensors)).to(tensors[0].dtype)


def greedy_soup(
    ingredients: Sequence[Weights], score: Callable[[Weights], float]
) -> tuple[dict[str, Tensor], list[int]]:
    """The soup that takes ingredients from the best to the worst, each only where the score does not fall.

    Its score is at least that of the best ingredient, on the images that `score` sees; it is to be
    reported on others. Of equal ingredients the later comes first. Returns the weights and which
    ingredients they hold, in order.
    """
    scores = [score(each) for each in ingredients]
    best, *others = sorted(range(len(ingredients)), key=lambda index: (-scores[index], -index))
    chosen, reached = [best], scores[best]
    for index in others:
        more = sorted([*chosen, index])
        with_it = score(uniform_soup([ingredients[i] for i in more]))
        if with_it >= reached:
            chosen, reached = more, with_it
    return uniform_soup([ingredients[index] for index in chosen]), chosen
