"""The table of everything that can be set."""

import io
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hjepa.config.fields import in_words
from hjepa.overrides import Knob, knobs, shown
from hjepa.runtime.files import to_json


def rows() -> list[dict[str, Any]]:
    """One mapping a field: path, values, default, effect, when, source, doc."""
    return [
        {
            "path": knob.path,
            "values": list(knob.choices) if knob.choices is not None else knob.kind,
            "default": knob.default,
            "effect": knob.effect,
            "when": dict(knob.when),
            "source": knob.source,
            "doc": knob.doc,
        }
        for knob in knobs().values()
    ]


def render(style: str) -> str:
    """The fields as table, json or markdown."""
    if style == "json":
        return to_json(rows()) + "\n"
    names = ("path", "values", "default", "effect", "live when", "source")
    cells = [_cells(knob) for knob in knobs().values()]
    if style == "markdown":
        lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells]
        return "\n".join(lines) + "\n"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name in ("path", "effect"), overflow="fold")
    for line in cells:
        table.add_row(*map(escape, line))
    out = io.StringIO()
    Console(file=out, width=160, color_system=None, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _cells(knob: Knob) -> list[str]:
    values = ", ".join(map(shown, knob.choices)) if knob.choices is not None else knob.kind
    conditions = [f"{path} {in_words(allowed, shown)}" for path, allowed in knob.when.items()]
    return [knob.path, values, shown(knob.default), knob.effect, " and ".join(conditions) or "always", knob.source]
