"""Hyperband, asynchronously: each configuration is drawn into a bracket with rungs of its own.

Source: Li et al. 2018, "Hyperband" (arXiv 1603.06560), for how many configurations a bracket gets; asynchronous as
in arXiv 1810.05934. The draw depends on the seed and the configuration's number alone: a restart changes nothing.
"""

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np

from hjepa.search.stopping.rule import Decision, Rule


class Brackets(Rule):
    """Several rules, each over its own trials; the last may have no rung: its trials run to the end."""

    def __init__(
        self,
        milestones: Sequence[int],
        make: Callable[[Sequence[int]], Rule],
        *,
        brackets: int,
        reduction: int,
        seed: int,
    ) -> None:
        """Bracket b has all rungs but the first b; `make` makes the rule of such rungs."""
        self._parts = [make(milestones[start:]) for start in range(min(brackets, len(milestones) + 1))]
        super().__init__(self._parts[0]._epochs)
        self.pauses = any(part.pauses for part in self._parts)
        top = len(milestones)
        heights = [top - start for start in range(len(self._parts))]
        sizes = [math.ceil((top + 1) * reduction**height / (height + 1)) for height in heights]
        self._shares = np.array(sizes) / sum(sizes)
        self._seed = seed
        self._bracket: dict[str, int] = {}

    def enroll(self, trial: str, number: int) -> None:
        """Draw the trial's bracket: all seeds of a configuration share it."""
        draw = np.random.default_rng([self._seed, number])
        bracket = int(draw.choice(len(self._parts), p=self._shares))
        self._bracket[trial] = bracket
        self._parts[bracket].enroll(trial, number)

    def promotable(self, paused: Collection[str], *, last: bool) -> str | None:
        """The first that any bracket promotes."""
        for bracket, part in enumerate(self._parts):
            trial = part.promotable([name for name in paused if self._bracket[name] == bracket], last=last)
            if trial is not None:
                return trial
        return None

    def rest(self, trial: str) -> str:
        """Why a paused trial was never resumed."""
        return self._parts[self._bracket[trial]].rest(trial)

    def _enter(self, trial: str, epoch: int, value: float) -> None:
        self._parts[self._bracket[trial]]._enter(trial, epoch, value)

    def _verdict(self, trial: str, epoch: int) -> Decision:
        return self._parts[self._bracket[trial]]._verdict(trial, epoch)
