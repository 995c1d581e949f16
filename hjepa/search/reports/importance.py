"""The importances of a search's dimensions, from its records alone: only scores at full budget count."""

from collections.abc import Mapping, Sequence
from typing import Any

from hjepa.search.analysis import standings
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study

#: Configurations with a full score below which nothing is said: the best quarter should be five.
FEWEST = 20
#: So many are enough: of more, these are taken evenly by rank.
MOST = 500
#: Columns of the table of importances.
COLUMNS = ("field", "importance", "by chance", "configurations", "conclusion")


def of_search(study: Study, records: StudyRecords) -> dict[str, Any]:
    """The importances of a search as in the JSON report; `cannot` says why there are none.

    `configurations` have a full score, of which `used` are in it. `dimensions` hold each a share of 1 (`importance`),
    what 95 % of shuffles of the scores stay below (`chance`), the configurations in which it exists, and how many of
    the `best` of them lie at the bounds of its range.
    """
    base = study.space.active({path: study.space.base[path] for path in study.space.paths})
    scored = [
        (_searched(study, standing.trials[0].trained) if standing.trials[0].index else base, standing.score)
        for standing in standings(records)
        if standing.complete and standing.score is not None
    ]
    used = _spread(scored)
    counts = {"configurations": len(scored), "used": len(used)}
    found: dict[str, Any] = {"method": "PED-ANOVA", **counts, "dimensions": [], "cannot": None}
    if len(scored) < FEWEST:
        why = f"{len(scored)} configurations have a full score: at least {FEWEST} are needed"
        return found | {"cannot": why, "words": [f"importances: {why}"]}
    from hjepa.search.importances import importances  # noqa: PLC0415 - Optuna, for this alone

    dimensions = [vars(entry) | {"conclusion": _conclusion(vars(entry))} for entry in importances(study.space, used)]
    return found | {"dimensions": dimensions, "words": _words(len(scored), len(used))}


def _searched(study: Study, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a trial's settings that the space holds."""
    return {path: value for path, value in settings.items() if path in study.space.paths}


def _spread(scored: Sequence[tuple[Mapping[str, Any], float]]) -> list[tuple[Mapping[str, Any], float]]:
    """At most MOST of them, from the best to the worst in even steps."""
    if len(scored) <= MOST:
        return list(scored)
    ranked = sorted(scored, key=lambda point: -point[1])
    last = len(ranked) - 1
    return [ranked[round(number * last / (MOST - 1))] for number in range(MOST)]


def rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """The dimensions as cells of a table, in the order of COLUMNS."""
    return [] if found is None else [_row(entry) for entry in found["dimensions"]]


def by_path(found: Mapping[str, Any] | None) -> dict[str, float]:
    """The importances that are known."""
    known = () if found is None else found["dimensions"]
    return {entry["path"]: entry["importance"] for entry in known if entry["importance"] is not None}


def _words(count: int, used: int) -> list[str]:
    some = "" if used == count else f" ({used} of them, evenly by rank)"
    return [
        f"importances (PED-ANOVA) are of reaching the best quarter of the {count} configurations with a full score"
        f"{some}; those that were stopped early are not in it",
        "by chance: the importance that 95 % of shuffles of the scores stay below",
    ]


def _conclusion(entry: Mapping[str, Any]) -> str:
    if entry["cannot"] is not None:
        return str(entry["cannot"])
    said = "above chance" if entry["importance"] > entry["chance"] else "not told from chance"
    for end, place in (("lower", "best_low"), ("upper", "best_high")):
        if 2 * (entry[place] or 0) > entry["best"]:
            said += f"; {entry[place]} of the best {entry['best']} at its {end} bound: a wider range may hold better"
    return said


def _row(entry: Mapping[str, Any]) -> list[str]:
    known = entry["importance"] is not None
    return [
        entry["path"],
        f"{entry['importance']:.3f}" if known else "",
        f"{entry['chance']:.3f}" if known else "",
        str(entry["configurations"]),
        entry["conclusion"],
    ]
