"""Multinomial logistic regression with an L2 penalty: one strong solver for one problem or many at once."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Largest entry of the preconditioned gradient of the mean loss at which a fit has converged.
TOLERANCE = 1e-3
MAX_ITERATIONS = 1000
#: Below this many values a problem is solved by one thread: waking a second costs more than it brings.
SMALL = 1 << 20


@dataclass(frozen=True)
class Fitted:
    """P fitted classifiers: logits = (features - mean) / scale @ weights + bias.

    mean, scale: [P, 1, F]; weights: [P, F, classes]; bias: [P, 1, classes], all float64.
    """

    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor
    converged: bool

    def logits(self, features: Tensor) -> Tensor:
        """[n, F], or [P, n, F] with its own rows for each classifier -> float64 [P, n, classes]."""
        weights = self.weights / self.scale.transpose(1, 2)
        return features.double() @ weights + (self.bias - self.mean @ weights)


class Regressions:
    """P independent regressions of the same shape, ready to be fitted at several strengths of the penalty.

    L-BFGS runs in the eigenbasis of each problem's features, every coordinate scaled by the
    root of the curvature that its penalised loss has at zero weights (covariance / classes; Böhning
    1992). The minimum is the same; encoders' features have condition numbers of 1e5 and more, for which
    this takes 10 to 20 iterations where scikit-learn's lbfgs takes 400 to 2,000. Problems solved
    together share the iterations, which matters when each is small.
    """

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int, rows: Tensor | None = None) -> None:
        """Features [P, n, F], labels int64 [P, n]; rows: bool [P, n], the rows that count (all when None)."""
        x = features.to(torch.float64, copy=True)
        counted = (torch.ones_like(labels) if rows is None else rows).double().unsqueeze(-1)
        self.classes = num_classes
        self.share = counted / counted.sum(1, keepdim=True)
        self.count = counted.sum(1, keepdim=True)
        self.one_hot = nn.functional.one_hot(labels, num_classes).double()
        with _few_threads(x.numel()):
            self.mean = (self.share * x).sum(1, keepdim=True)
            x.sub_(self.mean).mul_(counted)
            spread = (self.share * x.square()).sum(1, keepdim=True).sqrt()
            # A feature that varies by rounding alone is constant, whatever its size.
            self.scale = torch.where(spread > 1e-7 * self.mean.abs(), spread, torch.inf)
            self.rotated, self.basis, variance = _eigenbasis(x.div_(self.scale), self.count)
        self.curvature = variance / num_classes
        self.start = torch.zeros(len(x), self.rotated.shape[-1] + 1, num_classes, dtype=torch.float64)

    def fit(self, c: Tensor | float) -> Fitted:
        """The minima of the mean cross-entropy + |weights|^2 / (2 c n), from where the previous fit ended.

        c: one for all or [P], in scikit-learn's meaning.
        """
        with _few_threads(self.rotated.numel()):
            return self._fit(torch.as_tensor(c, dtype=torch.float64).expand(len(self.start)).view(-1, 1, 1))

    def _fit(self, c: Tensor) -> Fitted:
        penalty = (1.0 / (c * self.count)).expand_as(self.curvature)
        penalty = torch.cat([penalty, torch.zeros_like(penalty[:, :1])], 1)  # the bias is free
        curvature = torch.cat([self.curvature, torch.full_like(penalty[:, :1], 1.0 / self.classes)], 1)
        scale = (curvature + penalty).rsqrt()

        position = nn.Parameter(self.start / scale)
        solver = torch.optim.LBFGS(
            [position],
            max_iter=MAX_ITERATIONS,
            max_eval=2 * MAX_ITERATIONS,
            tolerance_grad=TOLERANCE,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        @torch.no_grad()
        def loss() -> float:
            weights = position * scale
            log_p = torch.baddbmm(weights[:, -1:], self.rotated, weights[:, :-1]).log_softmax(2)
            value = -(log_p * self.one_hot * self.share).sum() + 0.5 * (penalty * weights.square()).sum()
            error = log_p.exp_().sub_(self.one_hot).mul_(self.share)
            slope = (error.transpose(1, 2) @ self.rotated).transpose(1, 2)  # twice as fast as the other way round
            gradient = torch.cat([slope, error.sum(1, keepdim=True)], 1)
            position.grad = (gradient + penalty * weights) * scale
            return float(value)

        solver.step(loss)  # type: ignore[no-untyped-call]
        assert position.grad is not None
        converged = bool(position.grad.abs().max() <= TOLERANCE)
        self.start = position.detach() * scale
        weights = self.basis @ self.start[:, :-1]
        return Fitted(self.mean, self.scale, weights, self.start[:, -1:], converged)


def _eigenbasis(x: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centred [P, n, F] -> coordinates [P, n, r], basis [P, F, r], variances [P, r, 1], with r = min(n, F)."""
    rows, width = x.shape[1:]
    if rows >= width:
        variance, basis = torch.linalg.eigh(x.transpose(1, 2) @ x / count)
        return x @ basis, basis, variance.clamp_min(0.0).unsqueeze(-1)
    variance, left = torch.linalg.eigh(x @ x.transpose(1, 2) / count)
    variance = variance.clamp_min(0.0).unsqueeze(1)
    length = (variance * count).sqrt()
    empty = variance <= 1e-10 * variance.amax(2, keepdim=True)
    basis = x.transpose(1, 2) @ left / length.masked_fill(empty, torch.inf)
    return left * length.masked_fill(empty, 0.0), basis, variance.transpose(1, 2)


@contextlib.contextmanager
def _few_threads(values: int) -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads if values >= SMALL else 1)
        yield
    finally:
        torch.set_num_threads(threads)
