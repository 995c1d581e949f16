"""The weighted sum of the levels' prediction errors."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hjepa.config import ObjectiveConfig
from hjepa.objectives.material import Material, Terms


class JepaObjective:
    """L = sum_l w_l L_l / sum_l w_l, with L_l the mean error over the valid cells of level l.

    Source: I-JEPA code (`F.smooth_l1_loss(z, h)`); the levels are this project's own definition.
    """

    def __init__(self, config: ObjectiveConfig, weights: tuple[float, ...]) -> None:
        self.config = config
        self.weights = [weight / sum(weights) for weight in weights]

    def __call__(self, material: Material) -> Terms:
        """The loss of a part of a batch, such that the parts of a batch add up to the batch's loss. In float32."""
        named: dict[str, Tensor] = {}
        parts: list[Tensor] = []
        for level, (prediction, target) in enumerate(zip(material.predictions, material.targets, strict=True)):
            error = self.error(prediction.float(), target)
            mask = material.valid[level]
            summed = error.sum() if mask is None else (error * mask).sum()
            loss = summed / max(material.counts[level], 1.0)
            named[f"loss.level{level}"] = loss.detach()
            parts.append(self.weights[level] * loss)
        return Terms(torch.stack(parts).sum(), named)

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Error of each token, [B, G], a mean over the D channels (cosine: 1 - cos)."""
        kind = self.config.loss
        if kind == "cosine":
            return 1.0 - F.cosine_similarity(prediction, target, dim=-1)
        if kind == "smooth_l1":
            return F.smooth_l1_loss(prediction, target, beta=self.config.beta, reduction="none").mean(-1)
        return {"mse": F.mse_loss, "l1": F.l1_loss}[kind](prediction, target, reduction="none").mean(-1)


@torch.no_grad()
def explained(prediction: Tensor, target: Tensor, cells: Tensor, valid: Tensor | None) -> Tensor:
    """1 - SSE(prediction) / SSE(batch mean at the same cell): above 0 beats the constant predictor.

    prediction, target: [B, G, D]; cells: [B, G] indices; valid: [B, G] booleans or None for all.
    """
    weight = torch.ones_like(cells, dtype=torch.float32) if valid is None else valid.float()
    size = int(cells.max()) + 1
    flat = cells.flatten()
    total = torch.zeros(size, target.shape[-1], device=target.device)
    total.index_add_(0, flat, (target.float() * weight.unsqueeze(-1)).flatten(0, 1))
    seen = torch.zeros(size, device=target.device).index_add_(0, flat, weight.flatten())
    mean = (total / seen.clamp(min=1.0).unsqueeze(-1))[flat].view_as(target)
    ours = ((prediction.float() - target).square().sum(-1) * weight).sum()
    constant = ((mean - target).square().sum(-1) * weight).sum()
    return 1.0 - ours / constant
