"""What the trials of a study say: configurations ranked, floors, the winner.

A score at full budget and its stand-in at rungs are different measurements: they are never ranked
together. Seeds of one configuration are averaged before anything is compared.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hjepa.search.records import FINAL, OPEN, StudyRecords, TrialRecord
from hjepa.search.snapshot import held


@dataclass(frozen=True)
class Standing:
    """One configuration over its seeds. `rank` counts from 1, and only configurations with a full score have one."""

    rank: int | None
    trials: tuple[TrialRecord, ...]
    score: float | None
    metric: str | None
    complete: int

    @property
    def config(self) -> str:
        """The configuration's hash."""
        return self.trials[0].config

    @property
    def cell(self) -> str:
        """The configuration's name."""
        return self.trials[0].cell

    @property
    def spread(self) -> float | None:
        """Standard deviation of the scores over seeds; None below two."""
        scores = [trial.score for trial in self.trials if trial.metric == self.metric and trial.score is not None]
        return statistics.stdev(scores) if len(scores) > 1 else None


@held
def standings(records: StudyRecords) -> list[Standing]:
    """Configurations, best first: those with full scores (more seeds complete, then the higher mean), then
    those that were stopped, by their score at the last rung, then the rest.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for trial in records.trials():
        if trial.duplicate_of is None:
            groups.setdefault(trial.config, []).append(trial)
    found = sorted((_standing(group, records.metric) for group in groups.values()), key=_order)
    ranked: list[Standing] = []
    for standing in found:
        rank = len(ranked) + 1 if standing.complete else None
        ranked.append(Standing(rank, standing.trials, standing.score, standing.metric, standing.complete))
    return ranked


def winner(records: StudyRecords) -> Standing | None:
    """The best configuration by its mean over completed seeds; None while none has completed."""
    ranked = standings(records)
    return ranked[0] if ranked and ranked[0].complete else None


def floors(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """What an untrained encoder and raw pixels score: the baseline's floors, mean over its seeds."""
    measured: dict[str, list[float]] = {}
    for trial in trials:
        if trial.index != 0 or trial.duplicate_of is not None:
            continue
        for name, value in trial.floor.items():
            if isinstance(value, int | float):
                measured.setdefault(name, []).append(float(value))
    return {name: statistics.fmean(values) for name, values in measured.items()}


def counts(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """Trials by state; only states that occur."""
    counter = Counter(trial.state for trial in trials)
    return {state: counter[state] for state in (*FINAL, *OPEN) if counter[state]}


def other_budgets(records: StudyRecords) -> dict[int, int]:
    """How many trials the study has of other epochs than it has now: they are ranked apart."""
    found = Counter(trial.epochs or records.epochs for trial in records.all_trials())
    return {epochs: count for epochs, count in sorted(found.items()) if epochs != records.epochs}


def _standing(group: list[TrialRecord], full: str) -> Standing:
    """A configuration's mean: over its completed seeds, else over the scores by one metric of the others."""
    completed = [trial.score for trial in group if trial.state == "completed" and trial.score is not None]
    if completed:
        return Standing(None, tuple(group), statistics.fmean(completed), full, len(completed))
    metrics = {trial.metric for trial in group if trial.metric is not None}
    metric = full if full in metrics else next(iter(metrics), None)
    scores = [trial.score for trial in group if trial.metric == metric and trial.score is not None]
    return Standing(None, tuple(group), statistics.fmean(scores) if scores else None, metric, 0)


def _order(standing: Standing) -> tuple[int, str, float, int]:
    """Completed seeds first; below them each metric apart, configurations without a score last."""
    score = -standing.score if standing.score is not None else 0.0
    return (-standing.complete, standing.metric or "~", score, standing.trials[0].index)
