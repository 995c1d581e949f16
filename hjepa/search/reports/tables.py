"""The tables of a report, from its JSON alone: the same cells in LaTeX and HTML as in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from hjepa.overrides import shown
from hjepa.search import selection
from hjepa.search.ablation.comparisons import p_value
from hjepa.search.reports import ablation, numbers
from hjepa.search.reports.ablation import points
from hjepa.search.reports.numbers import Section

#: Columns of the ranking.
RANKING = ("rank", "configuration", "trials", "state", "score", "sd", "metric", "epoch", "overrides")
#: Titles of the tables that this module makes.
COMPARISONS, BESIDE, RANKED, CONFIRMED = (
    "Comparisons",
    "Beside the t test",
    "Configurations",
    "Confirmation on fresh seeds",
)


def tables(found: Mapping[str, Any]) -> list[Section]:
    """The tables of a report that have rows, in order."""
    compared = found.get("comparisons", ())
    confirmation = selection.rows(found["selection"]) if "selection" in found else []
    first = [
        Section(COMPARISONS, ablation.COLUMNS, [comparison(row) for row in compared]),
        Section(CONFIRMED, selection.COLUMNS, confirmation),
        Section(BESIDE, ablation.BESIDE, [beside(row) for row in compared]),
        Section(RANKED, RANKING, [configuration(entry) for entry in found["configurations"]]),
    ]
    return [table for table in (*first, *numbers.sections(found)) if table.rows]


def comparison(row: Mapping[str, Any]) -> list[str]:
    """A comparison's cells, in the order of ablation.COLUMNS."""
    return [
        row["name"],
        points(row["effect"]),
        _interval(row["low"], row["high"]),
        p_value(row["p_holm"], row["significant"]),
        str(len(row["seeds"])),
        row["conclusion"],
        "; ".join(f"{claim['effect'][0]:+g} to {claim['effect'][1]:+g}" for claim in row["claims"]),
        "; ".join(claim["words"] for claim in row["claims"]),
        "" if row["test"] is None else _on_test(row["test"]),
    ]


def beside(row: Mapping[str, Any]) -> list[str]:
    """The other tests of a comparison, in the order of ablation.BESIDE."""
    bootstrap, coverage = row["bootstrap"], row["bootstrap_coverage"]
    return [
        row["name"],
        p_value(row["p"]),
        p_value(row["p_sign_flip"]),
        p_value(row["p_sign_flip_floor"]),
        p_value(row["p_wilcoxon"]),
        "" if bootstrap is None else _interval(*bootstrap),
        "" if coverage is None else f"{coverage:.2f}",
        "" if row["margin"] is None else f"±{row['margin']:g}",
        p_value(row["p_equivalent"]),
    ]


def configuration(entry: Mapping[str, Any]) -> list[str]:
    """A configuration's cells, in the order of RANKING."""
    states: Mapping[str, int] = entry["states"]
    state = next(iter(states)) if len(states) == 1 else ", ".join(f"{count} {name}" for name, count in states.items())
    return [
        "" if entry["rank"] is None else str(entry["rank"]),
        entry["cell"],
        ", ".join(entry["trials"]),
        state,
        _share(entry["score"]),
        _share(entry["sd"]),
        entry["metric"] or "",
        "" if entry["epoch"] is None else str(entry["epoch"]),
        ", ".join(f"{path}={short(value)}" for path, value in entry["overrides"].items()) or "(baseline)",
    ]


def without(table: Section, *columns: str) -> Section:
    """A table without some of its columns."""
    kept = [index for index, name in enumerate(table.columns) if name not in columns]
    return Section(table.title, [table.columns[index] for index in kept], _picked(table.rows, kept))


def _picked(rows: Sequence[Sequence[str]], kept: Sequence[int]) -> list[list[str]]:
    return [[cells[index] for index in kept] for cells in rows]


def short(value: Any) -> str:
    """A value for people: four significant digits; JSON and CSV hold the exact one."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{points(low)} to {points(high)}"


def _on_test(test: Mapping[str, Any]) -> str:
    interval = "" if test["low"] is None else f" ({_interval(test['low'], test['high'])})"
    return f"{points(test['effect'])}{interval}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
