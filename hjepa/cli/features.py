"""The table of everything that can be set, and the test that proves each row."""

import io
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hjepa.config.fields import in_words
from hjepa.overrides import Knob, knobs, shown
from hjepa.runtime.files import to_json

#: The effect gate's test of a field: the proof of every field that names no test of its own.
GATE = "tests/test_toggles.py::test_a_field_acts_as_it_says[{path}]"


def rows() -> list[dict[str, Any]]:
    """One mapping a field: name, path, values, default, effect, when, source, proof (a pytest node id), doc."""
    return [
        {
            "name": knob.title,
            "path": knob.path,
            "values": list(knob.choices) if knob.choices is not None else knob.kind,
            "default": knob.default,
            "effect": knob.effect,
            "when": dict(knob.when),
            "source": knob.source,
            "proof": knob.proof or GATE.format(path=knob.path),
            "doc": knob.doc,
        }
        for knob in knobs().values()
    ]


def render(style: str) -> str:
    """The fields as table, json or markdown."""
    if style == "json":
        return to_json(rows()) + "\n"
    if style == "markdown":
        return _markdown()
    names = ("path", "values", "default", "effect", "live when", "source")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name in ("path", "effect"), overflow="fold")
    for knob in knobs().values():
        table.add_row(*map(escape, _cells(knob)))
    out = io.StringIO()
    Console(file=out, width=160, color_system=None, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _markdown() -> str:
    names = ("name", "path", "values", "default", "effect", "live when", "source", "proof")
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row, knob in zip(rows(), knobs().values(), strict=True):
        path, *middle = _cells(knob)
        lines.append(_line([row["name"], f"`{path}`", *middle, f"`{row['proof']}`"]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(knob: Knob) -> list[str]:
    values = ", ".join(map(shown, knob.choices)) if knob.choices is not None else knob.kind
    conditions = [f"{path} {in_words(allowed, shown)}" for path, allowed in knob.when.items()]
    return [knob.path, values, shown(knob.default), knob.effect, " and ".join(conditions) or "always", knob.source]
