"""What a measured effect says of a claimed one, and how many more seeds would decide.

With the effect's interval [l, u] and the claim [a, b], a > 0: contradicted (u <= 0), smaller than claimed
(0 < u < a), supported (l > 0 and u >= a), else inconclusive. Every verdict is meant at the scale of the study.
"""

from dataclasses import dataclass
from typing import Literal

from hjepa.search.ablation.effects import ALPHA, Effect
from hjepa.search.ablation.power import fewest, half_width

Verdict = Literal["contradicted", "smaller than claimed", "supported", "inconclusive"]
#: More seeds than this are not counted.
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Claim:
    """An expected effect of `low` to `high`, in the unit of the scores, and who says so.

    Raises ValueError unless 0 < low <= high.
    """

    name: str
    low: float
    high: float
    source: str

    def __post_init__(self) -> None:
        """Refuse a claim that nothing could contradict."""
        if not 0 < self.low <= self.high:
            raise ValueError(f"claims.{self.name}: got [{self.low}, {self.high}]; allowed [a, b] with 0 < a <= b")


@dataclass(frozen=True)
class Judged:
    """A claim beside its effect. `more_seeds`: None unless inconclusive, or where no number is known."""

    claim: Claim
    effect: Effect
    verdict: Verdict
    more_seeds: int | None
    words: str


def judge(claim: Claim, effect: Effect) -> Judged:
    """The verdict on a claim."""
    if effect.interval is None or effect.sd is None or effect.mean is None:
        return Judged(claim, effect, "inconclusive", None, f"inconclusive: {effect.cannot}")
    found = verdict(effect.interval.low, effect.interval.high, claim.low)
    if found != "inconclusive":
        return Judged(claim, effect, found, None, found)
    more = more_seeds(claim.low, effect.mean, effect.sd, len(effect.seeds))
    if more is None:
        return Judged(claim, effect, found, None, f"inconclusive; more than {_MOST_SEEDS} seeds would be needed")
    seeds = f"{more} more seed{'s' * (more > 1)}"
    return Judged(claim, effect, found, more, f"inconclusive; {seeds} would decide if mean and spread stay as they are")


def verdict(low: float, high: float, claimed: float) -> Verdict:
    """The verdict of an interval [low, high] on a claim of at least `claimed` > 0."""
    if high <= 0:
        return "contradicted"
    if high < claimed:
        return "smaller than claimed"
    return "supported" if low > 0 else "inconclusive"


def more_seeds(claimed: float, mean: float, sd: float, seeds: int, alpha: float = ALPHA) -> int | None:
    """Seeds beyond those run until the verdict is no longer inconclusive, if mean and sd stay as they are.

    Intervals only shrink, so what decides once decides for good. None above 10,000 seeds.
    """

    def decided(count: int) -> bool:
        half = half_width(sd, count, alpha)
        return verdict(mean - half, mean + half, claimed) != "inconclusive"

    enough = fewest(decided, seeds, _MOST_SEEDS)
    return None if enough is None else enough - seeds
