"""The cells of an ablation as what a Conductor is handed, in place of a sampler's proposals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hjepa.search.ablation.designs import Design
from hjepa.search.ablation.path import grown
from hjepa.search.records import TrialRecord


def means_of(trials: Sequence[TrialRecord], metric: str) -> dict[str, float | None]:
    """The mean score over seeds of each cell that has ended; None where a trial has no score by this metric."""
    cells: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        cells.setdefault(trial.cell, []).append(trial)
    means: dict[str, float | None] = {}
    for name, group in cells.items():
        scores = [trial.score for trial in group if trial.metric == metric and trial.score is not None]
        if all(trial.final for trial in group):
            means[name] = sum(scores) / len(scores) if len(scores) == len(group) else None
    return means


def design_at(design: Design, trials: Sequence[TrialRecord], metric: str) -> Design:
    """The design as far as the records decide it: all of it, but for a path."""
    if design.name != "path":
        return design
    return grown(design, {trial.cell for trial in trials}, means_of(trials, metric))


class FixedCells:
    """Hands out the cells of a design in order. It keeps nothing: what ran, the records know."""

    #: Two cells may be one configuration: it runs once, and both have its score.
    repeats = True
    #: Asked again, it answers with the same cell.
    walks = False

    def __init__(self, design: Design, metric: str, trials: Callable[[], list[TrialRecord]]) -> None:
        """`trials` reads the records: a path is decided from them."""
        self._design = design
        self._metric = metric
        self._trials = trials
        #: Why `ask` answers None for good; None while an answer may still come.
        self.ended: str | None = None

    def ask(self, index: int) -> dict[str, Any] | None:
        """The overrides of a cell; None while it is not decided, or (then `ended` says why) never will be."""
        design = self._decided()
        if index < len(design.cells):
            return design.overrides(design.cells[index])
        if all(trial.final for trial in self._trials()):
            self.ended = "the path ends here: no candidate of its next step has a score on every seed"
        return None

    def name(self, index: int) -> str:
        """The name of a cell that was asked for."""
        return self._decided().cells[index].name

    def _decided(self) -> Design:
        if self._design.name != "path":  # known without a look at the records
            return self._design
        return design_at(self._design, self._trials(), self._metric)

    def told(self) -> Sequence[int]:
        """Every cell: there is nothing to be learned."""
        return range(self._design.size)

    def running(self) -> Mapping[int, int]:
        """None: nothing is kept."""
        return {}

    def adopt(self, index: int, overrides: Mapping[str, Any]) -> None:
        """Nothing to learn."""

    def reject(self, index: int) -> None:
        """Nothing to withdraw."""

    def forget(self, index: int) -> None:
        """Nothing to withdraw."""

    def tell(
        self,
        index: int,
        outcome: str,
        value: float | None = None,
        history: Mapping[int, float] | None = None,
        facts: Mapping[str, float] | None = None,
    ) -> None:
        """Nothing to learn."""
