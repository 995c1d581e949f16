"""What the trials of a study say: configurations ranked, floors, the winner.

A score at full budget and its stand-in at rungs are different measurements: they are never ranked
together. Seeds of one configuration are averaged before anything is compared. What lies beyond a constraint has no
rank, whatever it scores.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hjepa.search.goals import Goals
from hjepa.search.records import FINAL, OPEN, StudyRecords, TrialRecord
from hjepa.search.snapshot import held


@dataclass(frozen=True)
class Standing:
    """One configuration over its seeds. `rank` counts from 1, and only configurations that may win have one: those with
    a score that counts (by default at full budget) within the study's limits.

    `complete` are the trials with such a score, `facts` the means of what they cost, `broken` the limits that are not
    met, in words.
    """

    rank: int | None
    trials: tuple[TrialRecord, ...]
    score: float | None
    metric: str | None
    complete: int
    facts: Mapping[str, float] = field(default_factory=dict)
    broken: Sequence[str] = ()

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

    @property
    def untrained(self) -> float | None:
        """What its own untrained encoder scores, mean over the trials that have a score; None where it is not known."""
        scored = [trial for trial in self.trials if trial.metric == self.metric and trial.score is not None]
        known = [trial.floor.get(self.metric or "") for trial in scored]
        values = [float(value) for value in known if isinstance(value, int | float)]
        return statistics.fmean(values) if values and len(values) == len(scored) else None


@held
def standings(records: StudyRecords) -> list[Standing]:
    """Configurations, best first: those that may win (more seeds complete, then the higher mean), those beyond a
    limit, those that were stopped, by their score at the last rung, the rest.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for trial in records.trials():
        if trial.duplicate_of is None:
            groups.setdefault(trial.config, []).append(trial)
    found = sorted((_standing(group, records.goals) for group in groups.values()), key=_order)
    ranked: list[Standing] = []
    for standing in found:
        rank = len(ranked) + 1 if standing.complete and not standing.broken else None
        ranked.append(replace(standing, rank=rank))
    return ranked


def winner(records: StudyRecords) -> Standing | None:
    """The best configuration by its mean over the seeds that count; None while none may win."""
    return first(standings(records))


def first(ranking: Sequence[Standing]) -> Standing | None:
    """The winner of a ranking."""
    return ranking[0] if ranking and ranking[0].rank is not None else None


def front(ranking: Sequence[Standing], goals: Goals) -> list[Standing]:
    """The Pareto front of those with a rank, by the study's objectives, the best score first."""
    known = {
        number: values
        for number, standing in enumerate(ranking)
        if standing.rank is not None and standing.score is not None
        if (values := goals.values(standing.score, standing.facts)) is not None
    }
    return [ranking[number] for number in goals.front(known)]


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


def _standing(group: list[TrialRecord], goals: Goals) -> Standing:
    """A configuration's mean: over its seeds that count, else over the scores by one metric of the others."""
    full = goals.scored
    counted = [trial for trial in group if goals.counts(trial)]
    if counted:
        facts = goals.facts(counted) if goals.costs or goals.limits else {}
        score = statistics.fmean(trial.score for trial in counted if trial.score is not None)
        return Standing(None, tuple(group), score, full, len(counted), facts, goals.broken(facts))
    metrics = {trial.metric for trial in group if trial.metric is not None}
    metric = full if full in metrics else next(iter(metrics), None)
    scores = [trial.score for trial in group if trial.metric == metric and trial.score is not None]
    return Standing(None, tuple(group), statistics.fmean(scores) if scores else None, metric, 0)


def _order(standing: Standing) -> tuple[bool, int, str, float, int]:
    """Completed seeds first; below them each metric apart, configurations without a score last."""
    score = -standing.score if standing.score is not None else 0.0
    return (
        not standing.complete or bool(standing.broken),
        -standing.complete,
        standing.metric or "~",
        score,
        standing.trials[0].index,
    )
