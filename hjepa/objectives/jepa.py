"""The weighted sum of the levels' prediction errors."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from hjepa.config import ObjectiveConfig
from hjepa.objectives import weighting
from hjepa.objectives.material import Material, Terms
from hjepa.runtime.collective import summed


class JepaObjective:
    """The prediction errors of the levels, each a mean over its valid cells, weighed by `weighting`.

    fixed: L = sum_l w_l L_l / sum_l w_l.
    Source: I-JEPA code (`F.smooth_l1_loss(z, h)`); the levels are this project's own definition.
    """

    def __init__(self, config: ObjectiveConfig, weights: tuple[float, ...]) -> None:
        self.config = config
        self.weights = [weight / sum(weights) for weight in weights]

    def __call__(self, material: Material) -> Terms:
        """The loss of a part of a batch, such that the parts of a batch add up to the batch's loss. In float32."""
        losses: list[Tensor] = []
        for level, (prediction, target) in enumerate(zip(material.predictions, material.targets, strict=True)):
            error = self.error(prediction.float(), target)
            mask = material.valid[level]
            of_all = error.sum() if mask is None else (error * mask).sum()
            losses.append(of_all / max(material.counts[level], 1.0))
        total, weights = self._weigh(losses, material)
        named = {f"loss.level{level}": loss.detach() for level, loss in enumerate(losses)}
        many = len(losses) > 1
        return Terms(total, named, {f"weight.level{level}": w for level, w in enumerate(weights)} if many else {})

    def _weigh(self, losses: list[Tensor], material: Material) -> tuple[Tensor, Iterable[Tensor | float]]:
        """The levels' losses as one, and the weight of each."""
        if self.config.weighting == "fixed":
            return weighting.fixed(losses, self.weights), self.weights
        stacked = torch.stack(losses)
        present = torch.tensor(material.counts, device=stacked.device) > 0
        if self.config.weighting == "uwso":
            weights = weighting.uwso_weights(summed(stacked), self.config.uwso_temperature, present)
            return (weights * stacked).sum(), weights
        assert material.log_variances is not None
        return weighting.kendall(stacked, material.log_variances, present, material.share)

    def local(self, material: Material) -> Terms:
        """The mean error of the cells that small crops predict."""
        assert material.local is not None
        prediction, target = material.local
        return Terms(self.error(prediction.float(), target).sum() / material.local_count)

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
