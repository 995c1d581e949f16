"""What may end or pause a trial early: the protocol of every rule.

A rule remembers scores and nothing else, and what it says of a trial depends on the scores alone, whatever
order they came in: entered again from the records, they give the same rule. Higher is better. Every rule
stops a score that is missing or not finite at once, and nothing at full budget.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Decision:
    """What becomes of a trial after a report; `reason` says why it does not go on."""

    action: Literal["continue", "stop", "pause"]
    reason: str | None = None


GO_ON = Decision("continue")


class Rule(ABC):
    """Which trials are not worth their full budget."""

    #: Whether trials wait at rungs and may be resumed.
    pauses = False

    def __init__(self, epochs: int) -> None:
        """`epochs` is the full budget."""
        self._epochs = epochs

    def enroll(self, trial: str, number: int) -> None:
        """A trial exists; `number` is that of its configuration. Called before anything else of the trial."""
        return None

    def replay(self, trial: str, history: Mapping[int, float | None]) -> None:
        """Enter what a trial scored in an earlier run of the study, without judging it."""
        for epoch, value in sorted(history.items()):
            if value is not None and math.isfinite(value):
                self._enter(trial, epoch, value)

    def observe(self, trial: str, epoch: int, value: float | None) -> Decision:
        """Enter a trial's score after an epoch, and judge it."""
        if value is None or not math.isfinite(value):
            return Decision("stop", f"no finite score at epoch {epoch}")
        self._enter(trial, epoch, value)
        return self.judge(trial, epoch)

    def judge(self, trial: str, epoch: int) -> Decision:
        """What becomes of a trial whose last report, entered already, was at `epoch`."""
        return GO_ON if epoch >= self._epochs else self._verdict(trial, epoch)

    def promotable(self, paused: Collection[str], *, last: bool) -> str | None:
        """Which of the paused trials is to go on now; None: none. `last`: no other trial will report."""
        return None

    def rest(self, trial: str) -> str:
        """Why a paused trial was never resumed."""
        raise AssertionError(f"{trial}: this rule pauses nothing")

    @abstractmethod
    def _enter(self, trial: str, epoch: int, value: float) -> None:
        """Remember a finite score."""

    @abstractmethod
    def _verdict(self, trial: str, epoch: int) -> Decision:
        """Judge a score that was entered, below full budget."""
