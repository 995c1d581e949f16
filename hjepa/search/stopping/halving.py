"""Asynchronous successive halving: trials are compared at rungs, one in `reduction` goes on.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv 1810.05934): the stopping
variant, and its algorithm 2, which promotes. Differs from Ray's: a score that is not finite stops at once, a rung
stops or promotes nothing before it holds `min_trials` scores, and late bloomers may have patience. No random draw.
"""

from collections.abc import Collection, Sequence

import numpy as np

from hjepa.search.stopping.rule import GO_ON, Decision, Rule


class _Rungs:
    """What each trial scored at each rung: at its first report after so many epochs."""

    def __init__(self, milestones: Sequence[int]) -> None:
        self.milestones = sorted(milestones)
        self.scores: dict[int, dict[str, float]] = {milestone: {} for milestone in self.milestones}
        self._epochs: dict[tuple[str, int], int] = {}

    def enter(self, trial: str, epoch: int, value: float) -> None:
        """A report counts at the highest rung it has reached, unless the trial has been there."""
        reached = [milestone for milestone in self.milestones if milestone <= epoch]
        if reached and trial not in self.scores[reached[-1]]:
            self.scores[reached[-1]][trial] = value
            self._epochs[trial, reached[-1]] = epoch

    def arrived(self, trial: str, epoch: int) -> int | None:
        """The rung at which a trial's report after this epoch counts; None between rungs."""
        return next((m for m in reversed(self.milestones) if self._epochs.get((trial, m)) == epoch), None)

    def last(self, trial: str) -> int | None:
        """The highest rung of a trial."""
        return next((m for m in reversed(self.milestones) if trial in self.scores[m]), None)


class Halving(Rule):
    """The stopping variant: below the bar of its rung a trial ends."""

    def __init__(
        self, milestones: Sequence[int], *, epochs: int, reduction: int, min_trials: int, patience: int = 0
    ) -> None:
        """Rungs after these epochs, all below the full budget of `epochs`; one in `reduction` goes on.

        With patience a trial that is below the bar goes on for so many epochs, and ends when it is then below
        the bar of that epoch as well.
        """
        assert all(0 < milestone < epochs for milestone in milestones) and reduction >= 2 and patience >= 0
        super().__init__(epochs)
        self._reduction = reduction
        self._min_trials = min_trials
        self._patience = patience
        self._rungs = _Rungs(milestones)
        self._second = _Rungs([milestone + patience for milestone in milestones]) if patience else self._rungs

    def _enter(self, trial: str, epoch: int, value: float) -> None:
        self._rungs.enter(trial, epoch, value)
        if self._patience:
            self._second.enter(trial, epoch, value)

    def _verdict(self, trial: str, epoch: int) -> Decision:
        milestone = self._second.arrived(trial, epoch)
        if milestone is None:
            return GO_ON
        first = self._below(self._rungs.scores[milestone - self._patience], trial)
        second = self._below(self._second.scores[milestone], trial)
        if first is None or second is None:
            return GO_ON
        also = f", as it was at epoch {milestone - self._patience}" if self._patience else ""
        bar, count = second
        value = self._second.scores[milestone][trial]
        return Decision(
            "stop", f"{value:.4f} at epoch {epoch} is below {bar:.4f}, the bar of {count} trials there{also}"
        )

    def _below(self, scores: dict[str, float], trial: str) -> tuple[float, int] | None:
        """The bar of a rung and its trials, where a trial is below it."""
        if trial not in scores or len(scores) < self._min_trials:
            return None
        bar = float(np.quantile(list(scores.values()), 1 - 1 / self._reduction))
        return None if scores[trial] >= bar else (bar, len(scores))


class Promotion(Rule):
    """The promotion variant: every trial pauses at its rung; the best there are resumed, whenever they came.

    Where no other trial will report any more, the best of each rung goes on however few came there: a search
    ends with a full score.
    """

    pauses = True

    def __init__(self, milestones: Sequence[int], *, epochs: int, reduction: int, min_trials: int) -> None:
        """Rungs after these epochs, all below the full budget of `epochs`; one in `reduction` is promoted."""
        assert all(0 < milestone < epochs for milestone in milestones) and reduction >= 2
        super().__init__(epochs)
        self._reduction = reduction
        self._min_trials = min_trials
        self._rungs = _Rungs(milestones)
        self._numbers: dict[str, int] = {}

    def enroll(self, trial: str, number: int) -> None:
        """Of two trials that score the same, the one with the lower number is the better."""
        self._numbers[trial] = number

    def promotable(self, paused: Collection[str], *, last: bool) -> str | None:
        """The best paused trial among its rung's best, from the highest rung down."""
        for milestone in reversed(self._rungs.milestones):
            for trial in self._best(milestone, last=last):
                if trial in paused and self._rungs.last(trial) == milestone:
                    return trial
        return None

    def rest(self, trial: str) -> str:
        """Why a paused trial was never resumed."""
        milestone = self._rungs.last(trial)
        assert milestone is not None
        scores = self._rungs.scores[milestone]
        best = max(1, len(scores) // self._reduction)
        return f"{scores[trial]:.4f} at epoch {milestone} is not among the best {best} of {len(scores)} trials there"

    def _enter(self, trial: str, epoch: int, value: float) -> None:
        self._rungs.enter(trial, epoch, value)

    def _verdict(self, trial: str, epoch: int) -> Decision:
        if self._rungs.arrived(trial, epoch) is None:
            return GO_ON
        return Decision("pause", f"waits at epoch {epoch} for its turn")

    def _best(self, milestone: int, *, last: bool) -> list[str]:
        """One in `reduction` of the trials of a rung, best first."""
        scores = self._rungs.scores[milestone]
        count = len(scores) // self._reduction if len(scores) >= self._min_trials else 0
        ranked = sorted(scores, key=lambda trial: (-scores[trial], self._numbers[trial], trial))
        return ranked[: max(count, 1 if last else 0)]
