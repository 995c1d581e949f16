"""What became of a population: how often its members copied each other, and how the best came about."""

from typing import Any

from hjepa.search.analysis import winner
from hjepa.search.lineage import ancestry
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study


def of_study(study: Study, records: StudyRecords) -> dict[str, Any] | None:
    """The key `population` of the JSON report; None for a study that trains none.

    `lineages`: how each member's weights came about, oldest first: {epoch: from which on, trial: whose weights they
    were, cell: its configuration, factors: by what its rates were multiplied then}.
    """
    if study.spec.scheduler.type != "pbt":
        return None
    trials = {trial.id: trial for trial in records.trials() if trial.duplicate_of is None}
    exploits = sum(len(trial.lineage) for trial in trials.values())
    changed = sum(bool(trial.lineage) for trial in trials.values())
    lineages = {name: ancestry(trial, trials) for name, trial in trials.items()}
    times = "once" if exploits == 1 else f"{exploits} times"
    words = [f"population: {changed} of {len(trials)} members went on from another's checkpoint, {times} in all"]
    best = winner(records)
    if best is not None:
        first, *later = lineages[best.trials[0].id]
        words.append("lineage of the best: " + ", ".join([first["cell"], *map(_step, later)]))
    return {"members": len(trials), "exploits": exploits, "lineages": lineages, "words": words}


def _step(entry: Any) -> str:
    factors = ", ".join(f"{path} x {factor:g}" for path, factor in entry["factors"].items())
    return f"from epoch {entry['epoch']} as {entry['cell']} ({factors})"
