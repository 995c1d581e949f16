"""What each level's cells know of the class, before and after training, where trials were asked to probe them."""

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from hjepa.search.analysis import standings
from hjepa.search.records import StudyRecords

COLUMNS = ("configuration", "level", "trials", "untrained", "trained", "gain")
NAME = re.compile(r"probe\.level(\d+)\.top1")


def of_study(records: StudyRecords) -> dict[str, Any] | None:
    """{rows, words} over the trials that ran to their end: means by configuration and level; None without any."""
    rows = []
    for standing in standings(records):
        results = [trial.result for trial in standing.trials if trial.state == "completed"]
        ends = [(_levels(result.get("floor")), _levels(result.get("metrics"))) for result in results]
        known = [(floor, end) for floor, end in ends if floor and end]
        for level in sorted(set.intersection(*(set(end) & set(floor) for floor, end in known))) if known else ():
            untrained, trained = (fmean(scores[part][level] for scores in known) for part in (0, 1))
            rows.append(
                {
                    "cell": standing.cell,
                    "level": level,
                    "trials": len(known),
                    "untrained": untrained,
                    "trained": trained,
                }
            )
    words = ["level probes: the class from one drawn cell of a level's target map, on the hold-out"]
    return {"rows": rows, "words": words} if rows else None


def rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """The cells of the table, in the order of COLUMNS."""
    return [
        [
            row["cell"],
            str(row["level"]),
            str(row["trials"]),
            f"{row['untrained']:.4f}",
            f"{row['trained']:.4f}",
            f"{100 * (row['trained'] - row['untrained']):+.2f}",
        ]
        for row in (found or {"rows": []})["rows"]
    ]


def _levels(scores: Any) -> dict[int, float]:
    """{level: score} of a result's scores."""
    if not isinstance(scores, Mapping):
        return {}
    named = ((NAME.fullmatch(str(name)), value) for name, value in scores.items())
    return {int(match[1]): float(value) for match, value in named if match and isinstance(value, int | float)}
