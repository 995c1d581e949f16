"""Configurations against their own untrained encoders, which may score more than the baseline's."""

from typing import Any

from hjepa.search.analysis import standings
from hjepa.search.records import StudyRecords

#: Configurations that a line names.
NAMED = 5


def of_study(records: StudyRecords) -> dict[str, Any] | None:
    """The key `untrained` of the JSON report; None where training has made every configuration better.

    `rows` are the configurations with a rank that score no more than their own untrained encoder, the best first.
    """
    rows = [
        {"cell": standing.cell, "config": standing.config, "untrained": standing.untrained, "score": standing.score}
        for standing in standings(records)
        if standing.rank is not None and standing.score is not None
        if standing.untrained is not None and standing.score <= standing.untrained
    ]
    if not rows:
        return None
    named = ", ".join(f"{row['cell']} ({row['score']:.4f}, untrained {row['untrained']:.4f})" for row in rows[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return {"rows": rows, "words": [f"no better than their own untrained encoder: {named}{more}"]}
