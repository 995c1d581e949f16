"""The terms on pooled embeddings: which formula sees which embedding.

Embeddings are [V + L, N, D] over all workers, in float32, the global views first; N images.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from hjepa.config import CJEPAConfig, InvarianceConfig, NTXentConfig, ObjectiveConfig, SIGRegConfig, VICRegConfig
from hjepa.objectives import cjepa, vicreg
from hjepa.objectives.invariance import invariance
from hjepa.objectives.material import Material, Term, Terms
from hjepa.objectives.ntxent import ntxent
from hjepa.objectives.sigreg import directions, epps_pulley
from hjepa.runtime.streams import generator


def pooled_terms(config: ObjectiveConfig, seed: int) -> dict[str, tuple[float, Term]]:
    """Name, weight and function of every term whose weight is above 0."""
    terms: dict[str, tuple[float, Term]] = {
        "vicreg": (config.vicreg.weight, VICReg(config.vicreg)),
        "cjepa": (config.cjepa.weight, CJEPA(config.cjepa)),
        "ntxent": (config.ntxent.weight, NTXent(config.ntxent)),
        "sigreg": (config.sigreg.weight, SIGReg(config.sigreg, seed)),
        "invariance": (config.invariance.weight, Invariance(config.invariance)),
    }
    return {name: (weight, term) for name, (weight, term) in terms.items() if weight > 0}


class VICReg:
    """std and cov of the global views and, where there are two, inv between them."""

    def __init__(self, config: VICRegConfig) -> None:
        self.config = config

    def __call__(self, material: Material) -> Terms:
        """The weighted sum of the parts, and each part."""
        config = self.config
        views = material.global_views(config.on)
        parts: dict[str, Tensor] = {}
        if config.inv > 0 and len(views) > 1:
            parts["inv"] = vicreg.closeness(views[0], views[1])
        if config.std > 0:
            parts["std"] = vicreg.spread_of_views(views, config.gamma)
        if config.cov > 0:
            parts["cov"] = vicreg.covariance_of_views(views, config.cov_reduction)
        return _sum("vicreg", parts, {"inv": config.inv, "std": config.std, "cov": config.cov}, material.share)


class CJEPA:
    """The three terms where `on` puts them."""

    def __init__(self, config: CJEPAConfig) -> None:
        self.config = config

    def __call__(self, material: Material) -> Terms:
        """The weighted sum of the parts, and each part."""
        seen = material.embeddings
        if self.config.on == "predicted_block_pairs":
            parts = cjepa.predicted_block_pairs(seen["blocks"].flatten(0, 1))
        elif self.config.on == "two_views":
            parts = cjepa.two_views(seen["context"])
        else:
            parts = cjepa.context_mean(seen["context"], seen["prediction"], seen["target"])
        weights = {"sim": self.config.sim, "std": self.config.std, "cov": self.config.cov}
        return _sum("cjepa", vars(parts), weights, material.share)


class NTXent:
    """The contrast of the two global views."""

    def __init__(self, config: NTXentConfig) -> None:
        self.config = config

    def __call__(self, material: Material) -> Terms:
        """The cross-entropy."""
        first, second = material.global_views(self.config.on)
        return Terms(material.share * ntxent(first, second, self.config.temperature))


class SIGReg:
    """The statistic, mean over directions and views."""

    def __init__(self, config: SIGRegConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def __call__(self, material: Material) -> Terms:
        """The mean statistic under the directions of this step."""
        config, views = self.config, material.embeddings[self.config.on]
        stream = generator(self.seed, "sigreg", material.step)
        along = views @ directions(views.shape[-1], config.slices, stream).to(views.device)
        statistic = epps_pulley(along, points=config.points, t_max=config.t_max, scale_by_n=config.scale_by_n)
        return Terms(material.share * statistic.mean())


class Invariance:
    """The distance of all views to the mean of the global ones."""

    def __init__(self, config: InvarianceConfig) -> None:
        self.config = config

    def __call__(self, material: Material) -> Terms:
        """The mean squared distance."""
        return Terms(material.share * invariance(material.embeddings[self.config.on], material.global_count))


def _sum(name: str, parts: Mapping[str, Tensor], weights: Mapping[str, float], share: float) -> Terms:
    """The sum of weight times part; the parts are reported as they are."""
    total = torch.stack([weights[part] * value for part, value in parts.items()]).sum()
    return Terms(share * total, {f"loss.{name}.{part}": share * value.detach() for part, value in parts.items()})
