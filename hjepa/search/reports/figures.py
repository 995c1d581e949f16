"""The figures of a report: inline in its page, or as PNG and SVG files."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from hjepa.runtime.files import write_bytes
from hjepa.search.reports import figure_curves, figure_scores
from hjepa.search.reports.figure_style import INK, STYLE

#: {name: what draws it from the JSON report, or says why there is nothing to draw}.
FIGURES: dict[str, Callable[[Mapping[str, Any]], Figure | str]] = {
    "effects": figure_scores.effects,
    "curves": figure_curves.curves,
    "parallel": figure_curves.parallel,
    "importances": figure_scores.importances,
    "pareto": figure_scores.pareto,
    "monitors": figure_curves.monitors,
    "levels": figure_curves.levels,
    "level_probes": figure_scores.level_probes,
}
#: Pixels that a point of a figure has in a page.
POINT = 1.4


def save(found: Mapping[str, Any], folder: Path) -> list[str]:
    """Write each figure as PNG and SVG into a folder; a line for each, or why it is left out."""
    said = []
    for name in FIGURES:
        drawn = _drawn(name, found)
        if isinstance(drawn, str):
            said.append(f"{name}: left out, {drawn}")
            continue
        write_bytes(folder / f"{name}.png", _bytes(drawn, "png", dpi=160))
        write_bytes(folder / f"{name}.svg", _bytes(drawn, "svg"))
        said.append(f"{folder / name}.png and .svg")
    return said


def inline(found: Mapping[str, Any]) -> dict[str, tuple[str | None, str]]:
    """{name: (SVG for a page, why there is none)}: its text is text, and takes the page's colour."""
    return {name: _inline(name, _drawn(name, found)) for name in FIGURES}


def _inline(name: str, drawn: Figure | str) -> tuple[str | None, str]:
    if isinstance(drawn, str):
        return None, drawn
    svg = _bytes(drawn, "svg", transparent=True, fonts="none").decode()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Ids are unique in a page that holds several figures.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg).replace("url(#", f"url(#{name}-")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # As wide as the page allows, and its text no larger than the page's.
    wide = f' style="max-width: {POINT * drawn.get_figwidth() * 72:.0f}px"'
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', wide, svg, count=1)
    return svg, ""


def _drawn(name: str, found: Mapping[str, Any]) -> Figure | str:
    with mpl.rc_context(STYLE):
        return FIGURES[name](found)


def _bytes(drawn: Figure, kind: str, fonts: str = "path", **how: Any) -> bytes:
    out = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context({**STYLE, "svg.fonttype": fonts, "svg.hashsalt": "hjepa"}):
        drawn.savefig(out, format=kind, metadata=metadata, **how)
    return out.getvalue()
