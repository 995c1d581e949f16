"""Linear probe: logistic regression on standardised, cached features, its penalty chosen on its own training data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hjepa.data.split import stratified_order
from hjepa.evaluation.features import Features, Indices
from hjepa.evaluation.regression import Regressions
from hjepa.runtime.streams import numpy_generator

Labelled = tuple[Features, Indices]

#: Inverse strengths of the L2 penalty that are tried, strongest first; scikit-learn's meaning of C.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: One image in so many of the probe's training data chooses C.
VALIDATION = 5
MOST_FOLDS = 5
#: Values of the few-label problems that are solved at once.
GROUP_VALUES = 1 << 24


@dataclass(frozen=True)
class ProbeScore:
    """Accuracy on the scored images. Over draws: means, geometric for C, and the spread of top1."""

    top1: float
    c: float
    std: float
    converged: bool


def linear_probe(train: Labelled, scored: Labelled, num_classes: int) -> ProbeScore:
    """Accuracy on `scored` of a probe fitted on all of `train`, each (features [n, F], labels [n]).

    C is chosen on a stratified fifth of `train`, the same images for every encoder.
    """
    order = stratified_order(train[1], numpy_generator(0, "probe.validation"))
    held, rest = np.split(order, [max(1, len(order) // VALIDATION)])
    features, labels = torch.from_numpy(train[0]), torch.from_numpy(train[1])
    path = Regressions(features[None, rest], labels[None, rest], num_classes)
    right, loss = [], []
    for c in C_GRID:
        hits, losses = _judge(path.fit(c).logits(features[held]), labels[None, held])
        right.append(hits.sum(1))
        loss.append(losses.sum(1))
    chosen = _best(torch.stack(right), torch.stack(loss))
    del path  # as large as the features twice over
    fitted = Regressions(features[None], labels[None], num_classes).fit(chosen)
    top1 = _accuracy(fitted.logits(torch.from_numpy(scored[0])), scored[1])
    return ProbeScore(float(top1), float(chosen), 0.0, fitted.converged)


def few_label_probe(draws: Sequence[Labelled], scored: Labelled, num_classes: int) -> ProbeScore:
    """Mean accuracy on `scored` of probes fitted on each draw of a few labels; C by stratified folds of the draw.

    The draws have equally many images of each class.
    """
    top1, chosen, converged = [], [], True
    for features, labels in _groups(draws):
        c = _few_label_c(features, labels, num_classes)
        fitted = Regressions(features, labels, num_classes).fit(c)
        top1.append(_accuracy(fitted.logits(torch.from_numpy(scored[0])), scored[1]))
        chosen.append(c)
        converged &= fitted.converged
    scores = torch.cat(top1)
    spread = float(scores.std()) if len(scores) > 1 else 0.0
    return ProbeScore(float(scores.mean()), float(torch.cat(chosen).log().mean().exp()), spread, converged)


def _groups(draws: Sequence[Labelled]) -> Iterator[tuple[Tensor, Tensor]]:
    """Features [P, n, F] and labels [P, n] of as many draws as are solved at once."""
    size = max(1, GROUP_VALUES // (draws[0][0].size * MOST_FOLDS))
    for start in range(0, len(draws), size):
        group = draws[start : start + size]
        yield torch.from_numpy(np.stack([x for x, _ in group])), torch.from_numpy(np.stack([y for _, y in group]))


def _few_label_c(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The best C of each draw [P]: features [P, n, F], labels [P, n]; every fold is scored by a fit on the others."""
    held = torch.stack([_folds(row.numpy()) for row in labels])
    draws, folds, rows = held.shape
    x = features.repeat_interleave(folds, 0)
    y = labels.repeat_interleave(folds, 0)
    out = held.view(draws * folds, rows)
    path = Regressions(x, y, num_classes, rows=~out)
    right, loss = [], []
    for c in C_GRID:
        hits, losses = _judge(path.fit(c).logits(x), y)
        right.append((hits * out).view(draws, -1).sum(1))
        loss.append((losses * out).view(draws, -1).sum(1))
    return _best(torch.stack(right), torch.stack(loss))


def _folds(labels: Indices) -> Tensor:
    """bool [folds, n], the images that each fold holds out: each class dealt evenly over at most five folds."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    count = min(MOST_FOLDS, *(len(rows) for rows in members))
    held = torch.zeros(count, len(labels), dtype=torch.bool)
    for rows in members:
        held[torch.arange(len(rows)) % count, torch.from_numpy(rows)] = True
    return held


def _judge(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [P, n, classes], labels [P, n] -> right answers and log-losses [P, n]."""
    losses = -logits.log_softmax(2).gather(2, labels.unsqueeze(2)).squeeze(2)
    return (logits.argmax(2) == labels).double(), losses


def _best(right: Tensor, loss: Tensor) -> Tensor:
    """The C of each problem with the most right answers, of equals the one with the lowest loss; both [C, P]."""
    index = loss.masked_fill(right < right.amax(0), torch.inf).argmin(0)
    return torch.tensor(C_GRID, dtype=torch.float64)[index]


def _accuracy(logits: Tensor, labels: Indices) -> Tensor:
    return (logits.argmax(2) == torch.from_numpy(labels)).double().mean(1)
