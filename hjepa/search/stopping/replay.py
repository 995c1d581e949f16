"""Early stopping in hindsight: what a rule would have saved over trials whose curves are known, and what it risks.

Only trials that went to the end can be replayed to the end. Those that were stopped may be the better ones: what a
replay says of a study with early stopping holds among its completed trials.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hjepa.search.stopping.rule import Rule

#: Fewer trials than this have no order to speak of.
_FEWEST = 4

Curve = Mapping[int, float]


@dataclass(frozen=True)
class Replay:
    """What a rule does to trials of known curves, one executed at a time.

    `stopped` holds the epoch at which each of those ended, and why; `completed` those at full budget; `epochs` is
    what was spent, and `full` what no rule would have spent.
    """

    stopped: Mapping[str, tuple[int, str]]
    completed: tuple[str, ...]
    epochs: int
    full: int

    @property
    def saved(self) -> float:
        """The share of all epochs that were not needed."""
        return 1.0 - self.epochs / self.full if self.full else 0.0


@dataclass(frozen=True)
class Risk:
    """What early stopping does on average over orders in which the trials might have come.

    `lost`: the share of orders in which the best trial is stopped; `regret`: by how much the best that is left is
    worse, mean; `saved`: share of epochs, mean. `cannot` says why there are no values.
    """

    trials: int
    orders: int
    lost: float | None = None
    regret: float | None = None
    saved: float | None = None
    cannot: str | None = None


def replay(rule: Rule, curves: Mapping[str, Curve], order: Sequence[str] | None = None) -> Replay:
    """Run a fresh rule over {trial: {epoch: score}}, trials in the order given, by default that of the mapping.

    A curve's last epoch is the end of its trial. A rule that pauses trials resumes them as it would live.
    """
    names = list(curves) if order is None else list(order)
    progress = dict.fromkeys(names, 0)
    stopped: dict[str, tuple[int, str]] = {}
    paused: set[str] = set()
    for number, name in enumerate(names):
        rule.enroll(name, number)
    waiting = list(names)
    while True:
        found = rule.promotable(paused, last=False)
        if found is None and waiting:
            found = waiting.pop(0)
        if found is None:
            found = rule.promotable(paused, last=True)
        if found is None:
            break
        name = found
        paused.discard(name)
        for epoch in sorted(e for e in curves[name] if e > progress[name]):
            progress[name] = epoch
            decision = rule.observe(name, epoch, curves[name][epoch])
            if decision.action == "pause":
                paused.add(name)
            if decision.action == "stop":
                stopped[name] = (epoch, str(decision.reason))
            if decision.action != "continue":
                break
    stopped |= {name: (progress[name], rule.rest(name)) for name in names if name in paused}
    completed = tuple(name for name in names if name not in stopped)
    full = sum(max(curve, default=0) for curve in curves.values())
    return Replay(stopped, completed, sum(progress.values()), full)


def risk(
    make: Callable[[], Rule],
    curves: Mapping[str, Curve],
    final: Mapping[str, float],
    *,
    orders: int = 200,
    seed: int = 0,
) -> Risk:
    """Replay completed trials in random orders; `final` is the score by which the best is known, higher is better."""
    names = [name for name in curves if name in final]
    if len(names) < _FEWEST:
        return Risk(len(names), 0, cannot=f"{len(names)} trials went to the end: at least {_FEWEST} are needed")
    rng = np.random.default_rng(seed)
    best = max(final[name] for name in names)
    known = {name: curves[name] for name in names}
    lost, regrets, saved = 0, [], []
    for _ in range(orders):
        shuffled = [names[place] for place in rng.permutation(len(names))]
        found = replay(make(), known, shuffled)
        left = max((final[name] for name in found.completed), default=min(final[name] for name in names))
        lost += left < best
        regrets.append(best - left)
        saved.append(found.saved)
    return Risk(len(names), orders, lost / orders, float(np.mean(regrets)), float(np.mean(saved)))
