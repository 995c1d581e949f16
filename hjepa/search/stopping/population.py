"""Population-based training: at every interval the worst members go on as a changed copy of one of the best.

Source: Jaderberg et al. 2017, "Population Based Training of Neural Networks" (arXiv 1711.09846): truncation selection,
and perturbation by factors. Differs from it: the whole population waits for its last member, so that what happens
depends on the scores and the seed alone; and the baseline copies nobody, as others are measured against it. All
members share a seed, so that a lineage is one run with `optim.changes`, which can be trained again alone.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hjepa.config import Config
from hjepa.search.sections import SchedulerSpec
from hjepa.search.stopping.rule import GO_ON, Decision, Rule

#: The number of the configuration that copies nobody.
BASELINE = 0


@dataclass(frozen=True)
class Exploit:
    """`member` goes on from the checkpoint of `donor`, with rates changed by {path: factor}."""

    member: str
    donor: str
    factors: Mapping[str, float]


class Intervals(Rule):
    """Every trial pauses at these epochs, and goes on: it stops none."""

    pauses = True

    def __init__(self, milestones: Sequence[int], *, epochs: int) -> None:
        """`milestones` lie below the full budget of `epochs`."""
        super().__init__(epochs)
        self._milestones = frozenset(milestones)
        self._numbers: dict[str, int] = {}

    def enroll(self, trial: str, number: int) -> None:
        """The lower number goes on first."""
        self._numbers[trial] = number

    def promotable(self, paused: Collection[str], *, last: bool) -> str | None:
        """Whoever waits."""
        return min(paused, key=lambda trial: (self._numbers[trial], trial), default=None)

    def _enter(self, trial: str, epoch: int, value: float) -> None:
        return None

    def _verdict(self, trial: str, epoch: int) -> Decision:
        if epoch not in self._milestones:
            return GO_ON
        return Decision("pause", f"waits at epoch {epoch} for the population")


def intervals(scheduler: SchedulerSpec, base: Config) -> tuple[int, ...]:
    """Epochs at which the population is compared, below the full budget: on the grid of the cheap probes."""
    every = base.probe_interval
    wanted = max(1, math.ceil(scheduler.interval * base.training.epochs - 1e-9))
    step = math.ceil(wanted / every) * every
    return tuple(range(step, base.training.epochs, step))


def exploits(
    scores: Mapping[str, float], numbers: Mapping[str, int], scheduler: SchedulerSpec, epoch: int
) -> list[Exploit]:
    """What a generation does: `scores` are its members' after so many epochs, `numbers` those of their configurations.

    Of two members that score the same, the one with the lower number is the better. What is drawn for a member
    depends on the seed, the epoch and its number alone.
    """
    ranked = sorted(scores, key=lambda member: (-scores[member], numbers[member]))
    count = max(1, math.floor(scheduler.quantile * len(ranked)))
    best = ranked[:count]
    others = [member for member in ranked if numbers[member] != BASELINE]
    found = []
    for member in others[-count:]:
        rng = np.random.default_rng([scheduler.seed, epoch, numbers[member]])
        donor = best[int(rng.integers(len(best)))]
        drawn = [scheduler.factors[int(rng.integers(len(scheduler.factors)))] for _ in scheduler.vary]
        if member not in best and scores[member] < scores[donor]:
            found.append(Exploit(member, donor, dict(zip(scheduler.vary, drawn, strict=True))))
    return found
