"""Was early stopping safe? How the order at a rung agrees with the order at full budget.

Only trials that went to the end are in it: those that were stopped have no final score, so the range is cut
and the agreement among all trials is not known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load at their first use

from hjepa.search.ablation.effects import ALPHA, Interval

#: Correlations of fewer trials say nothing: the interval needs n > 3.
_FEWEST = 4


@dataclass(frozen=True)
class Agreement:
    """A rung against the end: two rank correlations, the interval is Spearman's.

    `kept_best`: the best trial at the end was among the best 1 / reduction of these trials at the rung. Values
    are None where `cannot` says why, the interval also for a perfect correlation.
    """

    epoch: int
    trials: int
    spearman: float | None = None
    interval: Interval | None = None
    kendall: float | None = None
    kept_best: bool | None = None
    cannot: str | None = None


def agreement(
    rungs: Mapping[int, Mapping[str, float]], final: Mapping[str, float], reduction: int, alpha: float = ALPHA
) -> list[Agreement]:
    """Rank correlations of {epoch: {trial: score at the rung}} with {trial: final score}; higher is better in both.

    Source of the interval: Bonett and Wright (2000), variance (1 + r²/2) / (n - 3) of Fisher's z.
    """
    return [_agreement(epoch, scores, final, reduction, alpha) for epoch, scores in sorted(rungs.items())]


def _agreement(
    epoch: int, scores: Mapping[str, float], final: Mapping[str, float], reduction: int, alpha: float
) -> Agreement:
    trials = [name for name in final if name in scores and math.isfinite(scores[name]) and math.isfinite(final[name])]
    count = len(trials)
    if count < _FEWEST:
        return Agreement(epoch, count, cannot=f"{count} trials have both scores: at least {_FEWEST} are needed")
    early = np.array([scores[name] for name in trials])
    late = np.array([final[name] for name in trials])
    if np.ptp(early) == 0 or np.ptp(late) == 0:
        return Agreement(epoch, count, cannot="all scores are equal: there is no order to compare")
    rho = float(scipy.stats.spearmanr(early, late).statistic)
    ahead = int((early > early[int(late.argmax())]).sum())
    return Agreement(
        epoch,
        count,
        spearman=rho,
        interval=_interval(rho, count, alpha),
        kendall=float(scipy.stats.kendalltau(early, late).statistic),
        kept_best=ahead < max(1, count // reduction),
    )


def _interval(rho: float, count: int, alpha: float) -> Interval | None:
    if abs(rho) >= 1.0:
        return None  # Fisher's z is infinite there
    half = float(scipy.stats.norm.isf(alpha / 2.0)) * math.sqrt((1.0 + rho**2 / 2.0) / (count - 3))
    z = math.atanh(rho)
    return Interval(math.tanh(z - half), math.tanh(z + half), 1.0 - alpha)
