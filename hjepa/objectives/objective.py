"""The objective: a weighted sum of terms."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hjepa.config import ObjectiveConfig
from hjepa.objectives.jepa import JepaObjective
from hjepa.objectives.material import Material, Term, Terms
from hjepa.objectives.terms import pooled_terms


class Objective:
    """Total = sum over the terms of weight * term; a term of weight 0 does not exist.

    `loss` names the total, `loss.<term>` each term before its weight, `loss.<term>.<part>` the parts of
    those that have some, `loss.level<l>` the levels' prediction errors.
    """

    def __init__(
        self, config: ObjectiveConfig, level_weights: tuple[float, ...], *, local: bool = False, seed: int = 0
    ) -> None:
        """local: small crops predict the first view; seed: of the terms' random draws."""
        self.label_smoothing = config.supervised.label_smoothing
        terms: dict[str, tuple[float, Term]] = {}
        if config.jepa_weight > 0:
            jepa = JepaObjective(config, level_weights)
            terms["jepa"] = config.jepa_weight, jepa
            if local:
                terms["local"] = config.local_weight, jepa.local
        terms |= pooled_terms(config, seed)
        if config.supervised.weight > 0:
            terms["supervised"] = config.supervised.weight, supervised
        self.terms = terms

    def __call__(self, material: Material) -> Terms:
        """The loss of a part of a batch, such that the parts of a batch add up to the batch's loss. In float32."""
        total: Tensor | None = None
        named: dict[str, Tensor] = {}
        facts: dict[str, Tensor | float] = {}
        weighted: dict[str, Tensor] = {}
        with torch.autocast(material.device.type, enabled=False):
            for name, (weight, term) in self.terms.items():
                terms = term(material)
                weighted[name] = terms.total if weight == 1.0 else weight * terms.total
                total = weighted[name] if total is None else total + weighted[name]
                named |= terms.named
                facts |= terms.facts
                if len(self.terms) > 1:
                    named[f"loss.{name}"] = terms.total.detach()
        assert total is not None, "a configuration has at least one term"
        return Terms(total, {"loss": total.detach(), **named}, facts, weighted)


def supervised(material: Material) -> Terms:
    """Cross-entropy of logits against label distributions, a mean over the batch's views."""
    assert material.logits is not None and material.labels is not None
    summed = F.cross_entropy(material.logits.float(), material.labels, reduction="sum")
    return Terms(summed / material.views)
