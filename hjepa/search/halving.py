"""Asynchronous successive halving: which trials are not worth their full budget.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv 1810.05934),
the stopping variant. Differs from Ray's: a value that is missing or not finite stops at once, and a
rung stops nothing before it holds `min_trials` values. There is no random draw in it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np


class Halving:
    """The rungs of a study and what each trial scored there; higher is better."""

    def __init__(self, milestones: Sequence[int], *, epochs: int, reduction: int, min_trials: int) -> None:
        """Rungs after these epochs, all below the full budget of `epochs`; one in `reduction` goes on."""
        assert all(0 < milestone < epochs for milestone in milestones) and reduction >= 2
        self._epochs = epochs
        self._reduction = reduction
        self._min_trials = min_trials
        self._rungs: dict[int, dict[str, float]] = {milestone: {} for milestone in sorted(milestones)}

    def replay(self, trial: str, history: Mapping[int, float | None]) -> None:
        """Enter what a trial scored in an earlier run of the study, without judging it."""
        for epoch in sorted(history):
            self.observe(trial, epoch, history[epoch])

    def observe(self, trial: str, epoch: int, value: float | None) -> str | None:
        """Enter a trial's score after an epoch; the reason to stop it, or None to let it go on.

        A trial is compared at the highest rung it has reached, once; at full budget it is never stopped.
        """
        if value is None or not math.isfinite(value):
            return f"no finite score at epoch {epoch}"
        if epoch >= self._epochs:
            return None
        reached = [milestone for milestone in self._rungs if milestone <= epoch]
        if not reached or trial in self._rungs[reached[-1]]:
            return None
        rung = self._rungs[reached[-1]]
        rung[trial] = value
        if len(rung) < self._min_trials:
            return None
        bar = float(np.quantile(list(rung.values()), 1 - 1 / self._reduction))
        if value >= bar:
            return None
        return f"{value:.4f} at epoch {epoch} is below {bar:.4f}, the bar of {len(rung)} trials there"
