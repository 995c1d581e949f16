"""What a study's trials are judged by: which of a trial's scores counts, its costs beside that, and limits on these."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeVar

from hjepa.config import rung_metric
from hjepa.search.costs import COSTS, Limit, in_words, measured, parse_limit
from hjepa.search.trial_record import FINAL_BUDGET, TrialRecord

_Key = TypeVar("_Key", bound=Hashable)
#: Which of a trial's scores counts, in words.
_AT = {"best": "the best of each trial", "last": "the last of each trial"}


@dataclass(frozen=True)
class Goals:
    """The objective `metric`, `at` which of a trial's scores counts, further objectives that are costs, and limits."""

    metric: str
    at: str
    costs: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Goals":
        """Those of a study file, or of a study.yaml."""
        asked = spec["objective"]
        first, *others = asked if isinstance(asked, list) else [asked]
        limits = (spec.get("constraints") or {}).items()
        return cls(
            str(first["metric"]),
            str(first.get("at") or FINAL_BUDGET),
            tuple(str(other["metric"]) for other in others),
            tuple(parse_limit(name, text) for name, text in limits if text is not None),
        )

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return bool(self.costs)

    @property
    def final(self) -> bool:
        """Whether only a trial at full budget can win."""
        return self.at == FINAL_BUDGET

    @property
    def scored(self) -> str:
        """The metric of the scores that count: at a rung all trials have its stand-in alone."""
        return self.metric if self.final else rung_metric(self.metric)

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """For each objective whether to `maximize` or `minimize` it."""
        return ["maximize", *("maximize" if COSTS[name].mode == "max" else "minimize" for name in self.costs)]

    def counts(self, trial: TrialRecord) -> bool:
        """Whether a trial's score can win."""
        states = ("completed",) if self.final else ("completed", "early_stopped")
        return trial.state in states and trial.score is not None

    def facts(self, trials: Iterable[TrialRecord]) -> dict[str, float]:
        """Every cost that all of these trials (at least one) have measured: its mean."""
        results = [trial.result for trial in trials]
        known = {name: [measured(result, name) for result in results] for name in COSTS}
        return {
            name: fmean(value for value in values if value is not None)
            for name, values in known.items()
            if values and None not in values
        }

    def broken(self, facts: Mapping[str, float]) -> list[str]:
        """The limits that are not met, in words; one of a cost that was not measured is not."""
        return [
            f"{in_words(limit.name, facts[limit.name])}, allowed {limit.text}"
            if limit.name in facts
            else f"{limit.name} not measured, allowed {limit.text}"
            for limit in self.limits
            if limit.name not in facts or not limit.met(facts[limit.name])
        ]

    def wins(self, trial: TrialRecord) -> bool:
        """Whether a single trial's score can win, and it keeps within the limits."""
        return self.counts(trial) and not (self.limits and self.broken(self.facts([trial])))

    def values(self, score: float, facts: Mapping[str, float]) -> list[float] | None:
        """One value an objective; None where one was not measured."""
        known = [facts.get(name) for name in self.costs]
        return None if None in known else [score, *(value for value in known if value is not None)]

    def front(self, entries: Mapping[_Key, Sequence[float]]) -> list[_Key]:
        """Those of these values that no others beat in one objective and equal in the rest; the best score first."""
        signs = [1 if direction == "maximize" else -1 for direction in self.directions]
        better = {key: [s * value for s, value in zip(signs, each, strict=True)] for key, each in entries.items()}
        front: list[_Key] = []
        for key in sorted(better, key=lambda key: better[key], reverse=True):
            mine = better[key]
            if not any(better[other] != mine and _covers(better[other], mine) for other in front):
                front.append(key)
        return front

    def in_words(self, epochs: int) -> str:
        """What is optimised, in a line."""
        when = f"after {epochs} epochs" if self.final else f"{_AT[self.at]} over at most {epochs} epochs"
        beside = "".join(f", {COSTS[name].mode} {name}" for name in self.costs)
        within = f"; {', '.join(f'{limit.name} {limit.text}' for limit in self.limits)}" if self.limits else ""
        return f"max {self.scored} {when}{beside}{within}"


def _covers(mine: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(mine, other, strict=True))
