"""What a number of seeds can show: the smallest detectable effect, its power, and the seeds that a claim needs.

Everything is of the paired t test at the first, strictest step of Holm's correction over `rows`
comparisons: level alpha / rows. Its power at that level bounds the table's from below.
"""

import bisect
import math
from collections.abc import Callable

import scipy  # its parts load at their first use

from hjepa.search.ablation.effects import ALPHA

#: The chance of finding an effect at which "detectable" is meant.
POWER = 0.8


def power(effect: float, sd: float, seeds: int, *, rows: int = 1, alpha: float = ALPHA) -> float:
    """The chance that the paired t test finds `effect` where differences have this `sd`; 0 below two seeds."""
    _check(sd, rows)
    if seeds < 2:
        return 0.0
    freedom = seeds - 1
    shift = abs(effect) / sd * math.sqrt(seeds)
    critical = scipy.stats.t.isf(alpha / rows / 2.0, freedom)
    other_side = scipy.stats.nct.cdf(-critical, freedom, shift)
    # Where the other tail is too small to compute, scipy answers NaN: then it is 0.
    return float(scipy.stats.nct.sf(critical, freedom, shift) + (0.0 if math.isnan(other_side) else other_side))


def smallest_detectable(
    sd: float, seeds: int, *, rows: int = 1, alpha: float = ALPHA, chance: float = POWER
) -> float | None:
    """The smallest effect found with this chance, in the unit of `sd`; None below two seeds: none is detectable."""
    _check(sd, rows)
    if seeds < 2:
        return None
    high = 1.0
    while power(high, 1.0, seeds, rows=rows, alpha=alpha) < chance:
        high *= 2.0
    found = scipy.optimize.brentq(
        lambda d: power(d, 1.0, seeds, rows=rows, alpha=alpha) - chance, 0.0, high, xtol=1e-12
    )
    return float(found) * sd


def seeds_for(
    effect: float, sd: float, *, rows: int = 1, alpha: float = ALPHA, chance: float = POWER, limit: int = 10_000
) -> int | None:
    """The fewest seeds that find `effect` with this chance; None where not even `limit` of them do."""
    _check(sd, rows)

    return fewest(lambda seeds: power(effect, sd, seeds, rows=rows, alpha=alpha) >= chance, 2, limit)


def half_width(sd: float, seeds: int, alpha: float = ALPHA) -> float:
    """Half the t interval's width; infinite below two seeds."""
    if seeds < 2:
        return math.inf
    return float(scipy.stats.t.isf(alpha / 2.0, seeds - 1)) * sd / math.sqrt(seeds)


def fewest(enough: Callable[[int], bool], low: int, limit: int) -> int | None:
    """The least number in low..limit that is enough, where every larger one is too; None if there is none."""
    found = low + bisect.bisect_left(range(low, limit + 1), True, key=enough)
    return found if found <= limit else None


def _check(sd: float, rows: int) -> None:
    if not (math.isfinite(sd) and sd > 0):
        raise ValueError(f"sd: got {sd}; allowed above 0")
    if rows < 1:
        raise ValueError(f"rows: got {rows}; allowed at least 1")
