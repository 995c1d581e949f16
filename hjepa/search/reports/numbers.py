"""What a study's trials say together, for every report: as data, as further tables, and as lines.

`numbers` are keys of the JSON report; everything else renders them, and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hjepa.search import health
from hjepa.search.ablation import comparisons
from hjepa.search.records import StudyRecords
from hjepa.search.reports import factorial as factorial_report
from hjepa.search.reports import goals, importance, levels, population, untrained
from hjepa.search.reports import stopping as stopping_report
from hjepa.search.study import Study

#: The keys of the JSON report that are made here.
KEYS = (
    *("goals", "factorial", "pairing", "importances", "agreement", "early_stopping", "population", "level_probes"),
    *("untrained", "findings"),
)


class Section(NamedTuple):
    """A table of a report, under its title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def numbers(records: StudyRecords) -> dict[str, Any]:
    """The keys of the JSON report that are about the study as a whole, each with its `words`.

    An ablation has `factorial` (null for designs that are not) and `pairing`, a search has `importances` and `goals`;
    both have `agreement` and `early_stopping`, a search that trains a population has `population`. `untrained` names
    what scores no more than before it was trained. `findings` say what is not well, each with the key of the study file
    to change.
    """
    study = Study.load(records.directory / "study.yaml")
    both = {
        "agreement": stopping_report.agreement_of(study, records),
        "early_stopping": stopping_report.early_stopping(study, records),
        "level_probes": levels.of_study(records),
        "untrained": untrained.of_study(records),
    }
    if study.design is None:
        members = {"population": population.of_study(study, records)}
        found = {"importances": importance.of_search(study, records), **both, **members}
        found["goals"] = goals.of_search(records)
        return found | {"findings": health.findings(study, records, found)}
    found = {
        "factorial": factorial_report.model(study, records),
        "pairing": factorial_report.pairing_worth(study, records),
        **both,
    }
    judged = study.spec.ablation is not None and study.spec.ablation.margin is not None
    compared = [comparisons.entry(row) for row in comparisons.compare(records)] if judged else []
    return found | {"findings": health.findings(study, records, {**found, "comparisons": compared})}


def sections(found: Mapping[str, Any]) -> list[Section]:
    """The tables of these numbers that have rows."""
    tables = [
        Section("Pareto front", goals.front_columns(found.get("goals")), goals.front_rows(found.get("goals"))),
        Section("Beyond a constraint", goals.BEYOND, goals.beyond_rows(found.get("goals"))),
        Section("Model of all cells", factorial_report.COLUMNS, factorial_report.rows(found.get("factorial"))),
        Section("Importances", importance.COLUMNS, importance.rows(found.get("importances"))),
        Section("Level probes", levels.COLUMNS, levels.rows(found.get("level_probes"))),
        Section("Rungs against the end", stopping_report.COLUMNS, stopping_report.rows(found.get("agreement"))),
    ]
    return [table for table in tables if table.rows]


def lines(found: Mapping[str, Any]) -> list[str]:
    """What is said of these numbers, in a line each."""
    return [line for key in KEYS if found.get(key) is not None for line in found[key]["words"]]
