"""What a report shows beside its tables, as plain data: each configuration's settings, cost and curves."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hjepa.config import rung_metric
from hjepa.search.analysis import Standing, counts, standings
from hjepa.search.analysis import front as pareto
from hjepa.search.files import last_lines, read_json
from hjepa.search.goals import Goals
from hjepa.search.lineage import CHANGES
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study

#: Facts of a trial's result.json that a configuration's cost is made of.
COSTS = ("device_seconds", "parameters", "images_per_second", "peak_memory_bytes")
#: Facts of a trial's environment that trials of one study may differ in.
CONDITIONS = ("device", "precision", "attention", "threads")
#: What begins the name of a collapse monitor, and of a level's explained share.
MONITOR, LEVEL = "features.", "explained."


def details(records: StudyRecords) -> dict[str, Any]:
    """The keys `configurations`, `curves` and `environment` of the JSON report."""
    trials = [trial for trial in records.trials() if trial.duplicate_of is None]
    return {
        "configurations": configurations(records),
        "curves": [curves(trial, records.metric) for trial in trials],
        "environment": (read_json(records.directory / "environment.json") or {}) | _conditions(trials),
    }


def _conditions(trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """What the trials ran with, where their records say it: one value, or all of them where they differ."""
    found: dict[str, Any] = {}
    for name in CONDITIONS:
        values = [(trial.result.get("environment") or {}).get(name) for trial in trials]
        distinct = list(dict.fromkeys(str(value) for value in values if value is not None))
        if distinct:
            found[name] = ", ".join(distinct)
    return found


def configurations(records: StudyRecords) -> list[dict[str, Any]]:
    """One entry a configuration, best first, as in the ranking; `sd` is over its seeds.

    `device_seconds` and the other costs are means over its trials whose score counts; `front` says that no
    configuration with a rank is both cheaper and better, of several objectives by these. `settings` are the values of
    the searched fields, the baseline's too; `experiment` is the file that trains it alone.
    """
    study = Study.load(records.directory / "study.yaml")
    ranking = standings(records)
    found = [_configuration(standing, study, records.goals) for standing in ranking]
    several = records.goals.several
    front = {standing.cell for standing in pareto(ranking, records.goals)} if several else _front(found)
    return [entry | {"front": entry["cell"] in front} for entry in found]


def curves(trial: TrialRecord, metric: str) -> dict[str, Any]:
    """A trial's scores and monitors over its epochs, the untrained encoder's (epoch 0) first.

    `rungs`: the score by the metric's stand-in, and the collapse monitors; `full`: the score by the metric itself;
    `levels`: the share of its targets' variance that each level's prediction explains, at the last logged step.
    """
    lines = last_lines(trial.directory / "metrics.jsonl", ("step", "rung", "full"))
    known = [line for line in lines if isinstance(line.get("epoch"), int | float)]
    rungs: dict[float, dict[str, Any]] = {}
    full: dict[float, dict[str, Any]] = {}
    levels: dict[int, dict[str, Any]] = {}
    for line in known:
        epoch = line["epoch"]
        if line["kind"] == "step":
            shares = _named(line, LEVEL)
            if shares:
                levels[math.ceil(epoch)] = {"epoch": math.ceil(epoch), **shares}
            continue
        point = rungs.setdefault(epoch, {"epoch": epoch, "score": None})
        point.update(_named(line, MONITOR))
        if line.get(rung_metric(metric)) is not None:
            point["score"] = line[rung_metric(metric)]
        if line.get(metric) is not None:
            full[epoch] = {"epoch": epoch, "score": line[metric]}
    who = {"trial": trial.id, "cell": trial.cell, "seed": trial.seed, "state": trial.state}
    parts: dict[str, Mapping[Any, dict[str, Any]]] = {"rungs": rungs, "full": full, "levels": levels}
    return who | {name: [part[epoch] for epoch in sorted(part)] for name, part in parts.items()}


def _named(line: Mapping[str, Any], start: str) -> dict[str, float]:
    return {name: value for name, value in line.items() if name.startswith(start) and isinstance(value, int | float)}


def _configuration(standing: Standing, study: Study, goals: Goals) -> dict[str, Any]:
    first = standing.trials[0]
    reached = [trial.epoch for trial in standing.trials if trial.epoch is not None]
    settings = {path: value for path, value in first.trained.items() if path != CHANGES}
    if first.index == 0 and study.design is None:
        settings = dict(study.space.active({path: study.space.base[path] for path in study.space.paths}))
    return {
        "rank": standing.rank,
        "cell": standing.cell,
        "config": standing.config,
        "trials": [trial.id for trial in standing.trials],
        "states": counts(standing.trials),
        "score": standing.score,
        "sd": standing.spread,
        "metric": standing.metric,
        "epoch": max(reached, default=None),
        "overrides": dict(first.overrides),
        "settings": settings,
        **_costs([trial for trial in standing.trials if goals.counts(trial)]),
        "experiment": _experiment(standing.trials),
    }


def _costs(trials: Sequence[TrialRecord]) -> dict[str, float | None]:
    """Means over these trials; none where there is none."""
    done = [trial.result for trial in trials]
    found: dict[str, float | None] = {}
    for name in COSTS:
        known = [float(result[name]) for result in done if isinstance(result.get(name), int | float)]
        found[name] = fmean(known) if known else None
    return found


def _experiment(trials: Sequence[TrialRecord]) -> str | None:
    for trial in trials:
        try:
            return (trial.directory / "experiment.yaml").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
    return None


def _front(found: Sequence[Mapping[str, Any]]) -> set[str]:
    """Configurations with a rank that none with a rank beats in both cost and score."""
    known = [entry for entry in found if entry["rank"] is not None and entry["device_seconds"] is not None]
    best, front = -math.inf, set()
    for entry in sorted(known, key=lambda entry: (entry["device_seconds"], -entry["score"])):
        if entry["score"] > best:
            best = entry["score"]
            front.add(entry["cell"])
    return front
