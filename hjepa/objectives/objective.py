"""The objective: a weighted sum of terms."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from hjepa.config import ObjectiveConfig
from hjepa.objectives.jepa import JepaObjective
from hjepa.objectives.material import Material, Terms

Term = Callable[[Material], Terms]


class Objective:
    """Total = sum over the terms of weight * term; a term of weight 0 does not exist.

    `loss` names the total, `loss.<term>` each term before its weight, `loss.level<l>` the levels'
    prediction errors.
    """

    def __init__(self, config: ObjectiveConfig, level_weights: tuple[float, ...]) -> None:
        self.label_smoothing = config.supervised.label_smoothing
        self.terms: list[tuple[str, float, Term]] = []
        if config.jepa_weight > 0:
            self.terms.append(("jepa", config.jepa_weight, JepaObjective(config, level_weights)))
        if config.supervised.weight > 0:
            self.terms.append(("supervised", config.supervised.weight, supervised))

    def __call__(self, material: Material) -> Terms:
        """The loss of a part of a batch, such that the parts of a batch add up to the batch's loss. In float32."""
        total: Tensor | None = None
        named: dict[str, Tensor] = {}
        device = next(iter([*material.predictions, *material.embeddings.values()])).device
        with torch.autocast(device.type, enabled=False):
            for name, weight, term in self.terms:
                terms = term(material)
                weighted = terms.total if weight == 1.0 else weight * terms.total
                total = weighted if total is None else total + weighted
                named |= terms.named
                if len(self.terms) > 1:
                    named[f"loss.{name}"] = terms.total.detach()
        assert total is not None, "a configuration has at least one term"
        return Terms(total, {"loss": total.detach(), **named})


def supervised(material: Material) -> Terms:
    """Cross-entropy of logits against label distributions, a mean over the batch's views."""
    assert material.logits is not None and material.labels is not None
    summed = F.cross_entropy(material.logits.float(), material.labels, reduction="sum")
    return Terms(summed / material.views, {})
