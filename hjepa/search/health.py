"""What is not well with a finished study, each with the one thing to change; nothing where there is nothing to say."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hjepa.overrides import ConfigError, shown
from hjepa.search.analysis import Standing, floors, front, standings
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.space import Dimension
from hjepa.search.states import CAUSES
from hjepa.search.study import Study

#: The share of configurations that counts as the best, and of a range that is its edge, on its own scale.
BEST, EDGE = 0.25, 0.1
#: How unlikely so many of the best at one edge must be if they lay anywhere.
UNLIKELY = 0.01
#: Completed configurations that a search needs, at least, and for each searched field.
FEWEST, EACH = 8, 2
#: Orders of arrival in which early stopping may lose the best, and the rank correlation that a rung should have.
LOST, CORRELATED = 0.2, 0.3
#: Share of trials, and number of them, from which on ends of one cause are many.
MANY, SEVERAL = 0.2, 2
#: What to change where trials end in a state.
_AGAINST = {
    "collapsed": ("objective.vicreg.weight", "a term against collapse, or a range without those configurations"),
    "diverged": ("optim.lr", "lower rates"),
    "out_of_memory": ("runtime.micro_batch", "fewer images a pass"),
    "preempted": ("faults.preempted", "more attempts"),
}


class Finding(NamedTuple):
    """What is not well, and what to do about it: the `key` to change and how."""

    name: str
    text: str
    key: str
    action: str

    def words(self) -> str:
        """As a line of a report."""
        return f"finding: {self.text}; try {self.key}: {self.action}"


def findings(study: Study, records: StudyRecords, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The key `findings` of the JSON report; `numbers` are its other keys that are about the study as a whole.

    Nothing is found while trials run.
    """
    trials = [trial for trial in records.trials() if trial.duplicate_of is None]
    over = bool(trials) and all(trial.final for trial in trials)
    found = (
        list(_search(study, records, trials, numbers) if study.design is None else _ablation(numbers)) if over else []
    )
    found += _ends(study, trials) if over else []
    return {"found": [finding._asdict() for finding in found], "words": [finding.words() for finding in found]}


def _search(
    study: Study, records: StudyRecords, trials: Sequence[TrialRecord], numbers: Mapping[str, Any]
) -> Iterator[Finding]:
    scored = [standing for standing in standings(records) if standing.complete and standing.score is not None]
    yield from _floor(records, trials, scored)
    best = front(scored, records.goals) if records.goals.several else scored[: max(1, math.floor(BEST * len(scored)))]
    if study.spec.scheduler.type != "pbt":  # the members of a population are copies of each other
        yield from _few(study, trials, scored)
        yield from _edges(study, best)
    yield from _toggles(study, numbers)
    yield from _stopping(study, numbers)


def _few(study: Study, trials: Sequence[TrialRecord], scored: Sequence[Standing]) -> Iterator[Finding]:
    """Too few completed configurations to tell one from another."""
    needed, done = max(FEWEST, EACH * len(study.space.dimensions)), len(scored)
    if done >= needed or done == study.configurations == study.space.size():
        return
    text = f"{done} configurations have a full score; {len(study.space.dimensions)} searched fields need about {needed}"
    key, action = "budget.trials", f"at least {needed}"
    if sum(trial.state == "early_stopped" for trial in trials) > len(trials) / 2:
        key, action = "scheduler.grace", "a longer one, as most trials were stopped"
    yield Finding("too few completed trials", text, key, action)


def _floor(records: StudyRecords, trials: Sequence[TrialRecord], scored: Sequence[Standing]) -> Iterator[Finding]:
    """The best is no better than an encoder that was never trained."""
    floor = floors(trials).get(records.goals.scored)
    if not scored or floor is None or scored[0].score is None or scored[0].score > floor:
        return
    text = f"the best configuration scores {scored[0].score:.4f}, the untrained encoder {floor:.4f}"
    yield Finding("floor not beaten", text, "budget.epochs", f"more than {records.epochs}")


def _edges(study: Study, leaders: Sequence[Standing]) -> Iterator[Finding]:
    """The best lie at one edge of a range, too many for chance, and the range could be wider."""
    base = study.space.active({path: study.space.base[path] for path in study.space.paths})
    best = [dict(entry.trials[0].trained if entry.trials[0].index else base) for entry in leaders]
    for dimension in study.space.dimensions:
        places = [_place(dimension, point[dimension.path]) for point in best if dimension.path in point]
        inside = [place for place in places if 0 <= place <= 1]
        for end, at in (("lower", _at_low), ("upper", _at_high)):
            many = sum(map(at, inside))
            chance = _chance(dimension, at)
            if not inside or not at(inside[0]) or _tail(len(inside), many, chance) > UNLIKELY:
                continue
            wider = _wider(study, dimension, end)
            if wider is not None:
                bound = dimension.low if end == "lower" else dimension.high
                yield Finding(
                    "optimum at the edge of a range",
                    f"{many} of the best {len(inside)} values of {dimension.path} lie at the {end} end of its range, "
                    f"{bound:g}",
                    f"space.{dimension.path}",
                    f"{'an' if end == 'upper' else 'a'} {end} bound of {wider:g}",
                )


def _at_low(place: float) -> bool:
    return place <= EDGE


def _at_high(place: float) -> bool:
    return place >= 1 - EDGE


def _place(dimension: Dimension, value: Any) -> float:
    """Where a value lies in its range, from 0 to 1 on its own scale; what is no number lies nowhere."""
    if dimension.kind == "choice" or not isinstance(value, int | float) or (dimension.log and value <= 0):
        return -1.0
    scale: Callable[[float], float] = math.log if dimension.log else float
    low, high = scale(dimension.low), scale(dimension.high)
    return (scale(value) - low) / (high - low) if high > low else -1.0


def _chance(dimension: Dimension, at: Callable[[float], bool]) -> float:
    """The share of a range, or of its values where they can be listed, that is its edge."""
    listed = dimension.values()
    if listed is None or dimension.kind == "choice":
        return EDGE
    return sum(at(_place(dimension, value)) for value in listed) / len(listed)


def _tail(count: int, many: int, share: float) -> float:
    """The probability of at least so many of `count`."""
    return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(many, count + 1))


def _wider(study: Study, dimension: Dimension, end: str) -> float | None:
    """A bound further out that the schema allows; None where there is none."""
    low, high = dimension.low, dimension.high
    if dimension.log:
        bound = low / 3 if end == "lower" else high * 3
    else:
        bound = low - (high - low) / 2 if end == "lower" else high + (high - low) / 2
    value = round(bound) if dimension.integer else bound
    given = study.space.example(dimension)
    try:
        study.config({**(given or {}), dimension.path: value}, study.spec.seeds[0])
    except ConfigError:
        return None
    return value


def _toggles(study: Study, numbers: Mapping[str, Any]) -> Iterator[Finding]:
    """Choices of which the score does not seem to depend."""
    known = (numbers.get("importances") or {}).get("dimensions", [])
    choices = {dimension.path for dimension in study.space.dimensions if dimension.kind == "choice"}
    for entry in known:
        if entry["path"] in choices and entry["importance"] is not None and entry["importance"] <= entry["chance"]:
            yield Finding(
                "toggle without effect",
                f"{entry['path']} is not told from chance (importance {entry['importance']:.3f}, by chance up to "
                f"{entry['chance']:.3f})",
                f"space.{entry['path']}",
                "leave it out, at the best configuration's value",
            )


def _stopping(study: Study, numbers: Mapping[str, Any]) -> Iterator[Finding]:
    """Early stopping that went by scores which say little of the end, or that loses the best."""
    saved = numbers["early_stopping"]
    if not saved["stopped"]:
        return
    risk = saved["risk"] or {}
    judged = [rung for rung in numbers["agreement"]["rungs"] if rung["spearman"] is not None]
    if (risk.get("lost") or 0.0) > LOST:
        text = f"early stopping loses the best of the completed trials in {100 * risk['lost']:.0f} % of all orders"
    elif judged and judged[0]["trials"] >= FEWEST and judged[0]["spearman"] < CORRELATED:
        rung = judged[0]
        text = f"scores at epoch {rung['epoch']} hardly tell the order at the end (Spearman {rung['spearman']:+.2f})"
    else:
        return
    grace = study.spec.scheduler.grace
    longer = f"{min(1.0, 2 * grace):g} in place of {grace:g}"
    yield Finding("early stopping too aggressive", text, "scheduler.grace", longer)


def _ablation(numbers: Mapping[str, Any]) -> Iterator[Finding]:
    """Techniques whose effect is shown to be too small to matter."""
    for row in numbers.get("comparisons") or ():
        if row["equivalent"]:
            yield Finding(
                "toggle without effect",
                f"{row['name']} changes the score by less than the margin of {row['margin']:g} points",
                "ablation.factors",
                f"leave out {row['name']}",
            )


def _ends(study: Study, trials: Sequence[TrialRecord]) -> Iterator[Finding]:
    """Many trials that ended badly for one cause."""
    causes = Counter(cause for trial in trials if (cause := _cause(trial)) is not None)
    for cause, count in causes.most_common():
        if count < SEVERAL or count < MANY * len(trials):
            continue
        ended = [trial for trial in trials if _cause(trial) == cause]
        key, action = _remedy(study, cause, ended, [trial for trial in trials if trial.state == "completed"])
        name = "collapse in many trials" if cause == "collapsed" else "many failures of one cause"
        yield Finding(name, f"{count} of {len(trials)} trials: {_said(cause)}", key, action)


def _cause(trial: TrialRecord) -> str | None:
    """Why a trial ended badly: a state, or the reason of one that failed; None for one that did not."""
    if trial.state in _AGAINST:
        return trial.state
    return (trial.reason or "failed without a word") if trial.state == "failed" else None


def _said(cause: str) -> str:
    return cause.replace("_", " ") if cause in _AGAINST else f"failed with {shown(cause)}"


def _value(study: Study, trial: TrialRecord, path: str) -> str | None:
    """What a trial has of a searched field, in words; None where the field does not act in it."""
    if trial.index:
        return shown(trial.trained[path]) if path in trial.trained else None
    active = study.space.is_active(study.space[path], study.space.base)
    return shown(study.space.base[path]) if active else None


def _remedy(
    study: Study, cause: str, ended: Sequence[TrialRecord], completed: Sequence[TrialRecord]
) -> tuple[str, str]:
    """The key to change: a choice that all of them share and none that completed has, else what helps against it."""
    for path in study.space.paths:
        values = {_value(study, trial, path) for trial in ended}
        well = {_value(study, trial, path) for trial in completed}
        one = len(values) == 1 and None not in values
        if one and study.space[path].kind == "choice" and not values & well and completed:
            return f"space.{path}", f"leave out {values.pop()}, which all of them have and none that completed"
    if cause in _AGAINST:
        key, action = _AGAINST[cause]
        searched = key in study.space.paths
        return (f"space.{key}", "a lower upper bound") if searched and cause == "diverged" else (key, action)
    key = next((f"faults.{name}" for name in CAUSES if cause.startswith(name)), "base")
    first = ended[0].id
    return (
        key,
        "more attempts" if key != "base" else f"a setting that runs: the traceback is in trials/{first}/result.json",
    )
