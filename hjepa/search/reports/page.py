"""A report as one page of HTML: styles, figures and the sorting of its tables are all in it, nothing is fetched."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from hjepa.search.reports import tables as report_tables
from hjepa.search.reports.figures import inline
from hjepa.search.reports.numbers import Section

#: {part of the page: its title, its figures, its tables}.
PARTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "effects": ("Effects", ("effects",), (report_tables.COMPARISONS, report_tables.CONFIRMED, report_tables.BESIDE)),
    "model": ("Model of all cells", (), ("Model of all cells",)),
    "ranking": ("Configurations", ("pareto",), (report_tables.RANKED,)),
    "learning": ("Learning curves", ("curves",), ("Rungs against the end",)),
    "space": ("Searched space", ("parallel", "importances"), ("Importances",)),
    "health": ("Collapse monitors and levels", ("monitors", "levels", "level_probes"), ("Level probes",)),
}
#: A cell that holds a number, or an interval.
NUMBER = re.compile(r"[<+±-]?[\d.]+(e[+-]?\d+)?\*?( to [+-]?[\d.]+)?")
CAPTIONS = {
    "effects": "Effect of each comparison: a point for each seed, the mean with its paired t interval, what was "
    "claimed (shaded), and the same effect on the test split (green) once it has been read.",
    "pareto": "Cost against score: no configuration lies above and left of the front.",
    "curves": "Score at each rung, by the cheap probe there; squares are the full probe, another measurement, "
    "and the broken line is the baseline's untrained encoder by it.",
    "parallel": "Each line is a configuration; colour is its score at full budget, grey was stopped before.",
    "importances": "What share of reaching the best quarter each searched field explains.",
    "monitors": "Collapse monitors over the epochs: a collapse is a rank that falls, or a cosine that nears 1.",
    "levels": "Share of its targets' variance that the prediction of each level explains; below 0 it is worse than "
    "the mean. Curves that leave the panel lie below -1.",
    "level_probes": "The class from one drawn cell of each level's target map, on the hold-out: filled after training, "
    "hollow of the untrained encoder.",
}


def page(found: Mapping[str, Any]) -> str:
    """The page of a JSON report."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["slug"] = slug
    source = {
        path.name: path.read_text(encoding="utf-8") for path in (files("hjepa.search.reports") / "assets").iterdir()
    }
    return environment.from_string(source["page.html"]).render(
        found=found,
        ablation="comparisons" in found,
        basis=_basis(found),
        cards=_cards(found),
        parts=_parts(found),
        environment=_facts(found["environment"]),
        # Files of our own.
        style=Markup(source["page.css"]),
        script=Markup(source["page.js"]),
    )


def slug(text: str) -> str:
    """A column's name as a class of the page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _parts(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    drawn = inline(found)
    tables = {table.title: _table(table) for table in report_tables.tables(found)}
    parts = []
    for name, (title, figures, titles) in PARTS.items():
        shown = [_figure(figure, *drawn[figure]) for figure in figures]
        held = [tables[each] for each in titles if each in tables]
        if held or any(figure["svg"] for figure in shown) or (shown and name != "space"):
            parts.append({"name": name, "title": title, "figures": shown, "tables": held})
    return parts


def _figure(name: str, svg: str | None, why: str) -> dict[str, Any]:
    # An SVG of matplotlib, which escapes what it writes.
    drawing = None if svg is None else Markup(svg)
    return {"title": name.capitalize(), "svg": drawing, "why": why, "caption": CAPTIONS[name]}


def _table(table: Section) -> dict[str, Any]:
    columns: Sequence[Sequence[str]] = list(zip(*table.rows, strict=True))
    numeric = [any(cells) and all(NUMBER.fullmatch(cell) for cell in cells if cell) for cells in columns]
    return {"title": table.title, "columns": table.columns, "rows": table.rows, "numeric": numeric}


def _basis(found: Mapping[str, Any]) -> str:
    """Whether the test split has been read."""
    if "comparisons" in found:
        read = any(row["test"] is not None for row in found["comparisons"])
        return "" if read else "The test split is read when every trial has ended; until then all is of the hold-out."
    confirmation = found["selection"]["confirmation"]
    if confirmation is not None and confirmation["ended"]:
        return ""
    return "Nothing is confirmed yet: the test split has not been read, and the best score is optimistic by selection."


def _cards(found: Mapping[str, Any]) -> list[dict[str, str]]:
    cards = []
    if "comparisons" in found:
        shown = [row for row in found["comparisons"] if row["significant"]]
        names = ", ".join(row["name"] for row in shown) or "none is told from chance"
        cards.append(_card("Effects shown", f"{len(shown)} of {len(found['comparisons'])}", names))
    else:
        chosen = found["selection"]
        score = "none yet" if chosen["score"] is None else f"{chosen['score']:.4f}"
        cards.append(_card(f"Selected, {chosen['state']}", score, chosen["cell"] or ""))
    floor = "not measured" if found["floor"] is None else f"{found['floor']:.4f}"
    cards.append(_card("Untrained encoder", floor, found["objective"][0]["metric"]))
    states: dict[str, int] = {}
    for trial in found["trials"]:
        states[trial["state"]] = states.get(trial["state"], 0) + 1
    said = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in states.items())
    cards.append(_card("Trials", str(len(found["trials"])), said))
    stopping = found["early_stopping"]
    saved = stopping["share_saved"]
    if saved:
        more = f"{stopping['stopped']} of {stopping['trials']} trials stopped"
        cards.append(_card("Epochs saved by stopping", f"{100 * saved:.0f} %", more))
    return cards


def _card(name: str, value: str, more: str) -> dict[str, str]:
    return {"name": name, "value": value, "more": more}


def _facts(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The environment as names and values, libraries one by one."""
    facts = []
    for name, value in environment.items():
        if isinstance(value, Mapping):
            facts += [(str(library), str(version)) for library, version in value.items()]
        else:
            facts.append((name.replace("_", " "), "unknown" if value is None else str(value)))
    return facts
