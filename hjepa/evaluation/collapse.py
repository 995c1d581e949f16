"""Statistics of features that need no labels, and the alarm that watches them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hjepa.evaluation.features import Features

STD, RANK = "features.std", "features.effective_rank"
RANKME_EPS = 1e-7
#: Alarm below these shares of the untrained encoder's value, `PATIENCE` checks in a row.
RANK_SHARE, STD_SHARE, PATIENCE = 0.25, 0.10, 3
#: Alarm above this share of the levels' weight on one of them.
WEIGHT_SHARE = 0.99


def statistics(features: Features) -> dict[str, float]:
    """Variety of features [n, F], n >= 2.

    features.std: standard deviation over images of the L2-normalised features, mean over dimensions
    (1 / sqrt(F) when they fill the sphere, 0 when constant); features.cosine: mean over pairs of
    different images; features.rankme: entropy rank of the spectrum (arXiv 2210.02885);
    features.effective_rank: that of the centred features (Roy & Vetterli 2007); features.participation:
    participation ratio of the covariance.
    """
    x = torch.from_numpy(features).double()
    unit = F.normalize(x, dim=1)
    count = len(unit)
    cosine = (unit.sum(0).square().sum() - unit.square().sum()) / (count * (count - 1))
    spectrum, centred = singular_values(x), singular_values(x, centre=True)
    return {
        STD: float(unit.std(0).mean()),
        "features.cosine": float(cosine),
        RANK: entropy_rank(centred),
        "features.rankme": entropy_rank(spectrum, RANKME_EPS),
        "features.participation": participation_ratio(centred),
    }


def singular_values(x: Tensor, *, centre: bool = False) -> Tensor:
    """Singular values of [n, F], largest first; those that are rounding of float32 features are 0."""
    size = torch.linalg.matrix_norm(x)
    values = torch.linalg.svdvals(x - x.mean(0) if centre else x)
    return torch.where(values > torch.finfo(torch.float32).eps * size, values, 0.0)


def entropy_rank(values: Tensor, eps: float = 0.0) -> float:
    """exp of the entropy of the normalised singular values: r for r equal ones, 0 when all are 0.

    RankMe adds `eps` to each share (1e-7 in its paper); the effective rank of Roy & Vetterli does not.
    """
    total = values.sum()
    if not total > 0:
        return 0.0
    share = values / total + eps
    return float((-torch.special.xlogy(share, share).sum()).exp())


def participation_ratio(values: Tensor) -> float:
    """(sum of eigenvalues)^2 / sum of their squares, from singular values; 0 when all are 0."""
    eigenvalues = values.square()
    square = eigenvalues.square().sum()
    return float(eigenvalues.sum().square() / square) if square > 0 else 0.0


class CollapseMonitor:
    """Compares a run's features with those of its own untrained encoder.

    Absolute limits fire on healthy encoders; relative ones, after the warm-up and three checks in a
    row, do not. `alarm` is the reason once it has fired, else None. It also fires where the levels'
    adaptive weights leave all to one level: that rewards the level whose targets are the easiest.
    """

    def __init__(self) -> None:
        self.alarm: str | None = None
        self._initial: dict[str, float] = {}
        self._strikes = self._taken = 0

    def start(self, untrained: Mapping[str, Any]) -> None:
        """Take the statistics of the untrained encoder, by their names."""
        self._initial = {name: float(untrained[name]) for name in (RANK, STD)}

    def check(self, now: Mapping[str, Any], *, warm: bool, weights: Sequence[float] = ()) -> str | None:
        """Look at new statistics; the reason when this is the third bad check in a row.

        warm: past the warm-up; weights: of the levels, where they adapt.
        """
        assert self._initial, "start() comes first"
        low = [
            f"{name} {float(now[name]):.3g} is below {share:.0%} of the untrained encoder's {self._initial[name]:.3g}"
            for name, share in ((RANK, RANK_SHARE), (STD, STD_SHARE))
            if not float(now[name]) >= share * self._initial[name] or not math.isfinite(float(now[name]))
        ]
        self._strikes = self._strikes + 1 if low and warm else 0
        if self._strikes >= PATIENCE and self.alarm is None:
            self.alarm = f"{'; '.join(low)}, {self._strikes} checks in a row"
        self._check_weights(weights, warm)
        return self.alarm

    def _check_weights(self, weights: Sequence[float], warm: bool) -> None:
        share = max(weights) / sum(weights) if weights else 0.0
        self._taken = self._taken + 1 if share > WEIGHT_SHARE and warm else 0
        if self._taken >= PATIENCE and self.alarm is None:
            level = max(range(len(weights)), key=weights.__getitem__)
            self.alarm = f"level {level} has {share:.1%} of the weight of all levels, {self._taken} checks in a row"

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"alarm": self.alarm, "initial": dict(self._initial), "strikes": self._strikes, "taken": self._taken}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.alarm, self._initial, self._strikes = state["alarm"], dict(state["initial"]), state["strikes"]
        self._taken = state.get("taken", 0)
