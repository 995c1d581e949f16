"""Rules that compare learning curves at every report: the median and a percentile of the other trials.

Source: the median rule of Golovin et al. 2017, "Google Vizier" (section 3.3.2); percentiles as in Optuna's pruner of
that name. Here both are asynchronous, compare trials at one epoch, and stop only a trial that has stayed below the
bar for `patience` epochs. No random draw.
"""

from abc import abstractmethod

import numpy as np

from hjepa.search.stopping.rule import GO_ON, Decision, Rule


class _CurveRule(Rule):
    """Keeps every curve, and what each trial brings to the comparison at each epoch."""

    #: What the bar is called.
    name: str

    def __init__(self, *, epochs: int, grace: int, min_trials: int, patience: int = 0) -> None:
        """Nothing is stopped before `grace` epochs, nor at an epoch that fewer than `min_trials` have reached."""
        assert grace >= 1 and patience >= 0
        super().__init__(epochs)
        self._grace = grace
        self._min_trials = min_trials
        self._patience = patience
        self._curves: dict[str, dict[int, float]] = {}
        self._columns: dict[int, dict[str, float]] = {}

    def _enter(self, trial: str, epoch: int, value: float) -> None:
        curve = self._curves.setdefault(trial, {})
        curve[epoch] = value
        self._columns.setdefault(epoch, {})[trial] = self._brought(curve, epoch)

    def _verdict(self, trial: str, epoch: int) -> Decision:
        bar = None
        for earlier in sorted((e for e in self._curves[trial] if self._grace <= e <= epoch), reverse=True):
            below = self._below(trial, earlier)
            if below is None:
                return GO_ON
            bar = below if bar is None else bar
            if epoch - earlier >= self._patience:
                own = self._own(self._curves[trial], epoch)
                count = len(self._columns[epoch])
                since = f", below since epoch {earlier} at least" if self._patience else ""
                text = f"{own:.4f} at epoch {epoch} is below {bar:.4f}, {self.name} of {count} trials there{since}"
                return Decision("stop", text)
        return GO_ON

    def _below(self, trial: str, epoch: int) -> float | None:
        """The bar of an epoch, where a trial is below it there."""
        column = self._columns[epoch]
        if len(column) < max(2, self._min_trials):
            return None
        bar = self._bar(trial, column)
        return bar if self._own(self._curves[trial], epoch) < bar else None

    @abstractmethod
    def _brought(self, curve: dict[int, float], epoch: int) -> float:
        """What a trial brings to the comparison of others at an epoch."""

    @abstractmethod
    def _own(self, curve: dict[int, float], epoch: int) -> float:
        """What of a trial is compared."""

    @abstractmethod
    def _bar(self, trial: str, column: dict[str, float]) -> float:
        """What a trial has to reach."""


class Median(_CurveRule):
    """Stops a trial whose best score so far is below the median of the others' means up to the epoch."""

    name = "the median of the means"

    def _brought(self, curve: dict[int, float], epoch: int) -> float:
        return float(np.mean([value for at, value in curve.items() if at <= epoch]))

    def _own(self, curve: dict[int, float], epoch: int) -> float:
        return max(value for at, value in curve.items() if at <= epoch)

    def _bar(self, trial: str, column: dict[str, float]) -> float:
        return float(np.median([value for other, value in column.items() if other != trial]))


class Percentile(_CurveRule):
    """Stops a trial whose score is below a percentile of all scores at the epoch."""

    def __init__(self, percentile: float, *, epochs: int, grace: int, min_trials: int, patience: int = 0) -> None:
        """`percentile` is above 0 and below 100: of how many trials in a hundred a trial must be better."""
        assert 0 < percentile < 100
        super().__init__(epochs=epochs, grace=grace, min_trials=min_trials, patience=patience)
        self._percentile = percentile
        self.name = f"percentile {percentile:g}"

    def _brought(self, curve: dict[int, float], epoch: int) -> float:
        return curve[epoch]

    def _own(self, curve: dict[int, float], epoch: int) -> float:
        return curve[epoch]

    def _bar(self, trial: str, column: dict[str, float]) -> float:
        return float(np.percentile(list(column.values()), self._percentile))
