"""Layer-wise adaptive rate scaling."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Momentum SGD in which each weight matrix has a rate of its own.

    u = g + weight_decay * w, times trust * |w| / |u| where the group `decays` (1 where a norm is 0);
    m = momentum * m + u; w = w - lr * m. Biases, norms and scales have neither decay nor trust ratio.
    Source: You et al. 2017 (arXiv 1708.03888); VICReg code, `main_vicreg.py`, class `LARS`, whose order
    of momentum and rate this is.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float, trust: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0, "decays": True})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            updates: list[Tensor] = [p.grad for p in weights]
            if group["decays"]:
                updates = self._adapted(weights, updates, group)
            for p in weights:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum"] for p in weights]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, updates)
            torch._foreach_add_(weights, momenta, alpha=-group["lr"])

    @staticmethod
    def _adapted(weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Gradients with weight decay, each scaled by its trust ratio."""
        updates = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
        sizes, lengths = torch._foreach_norm(weights), torch._foreach_norm(updates)
        ratios = [
            torch.where((size > 0) & (length > 0), group["trust"] * size / length, 1.0)
            for size, length in zip(sizes, lengths, strict=True)
        ]
        torch._foreach_mul_(updates, ratios)
        return updates
