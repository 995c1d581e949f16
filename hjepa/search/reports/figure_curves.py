"""Figures over epochs and over the searched space: learning curves, collapse monitors, levels, parallel coordinates.

Each takes the JSON report, and returns a figure, or why there is none.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hjepa.search.reports.figure_scores import WIDE
from hjepa.search.reports.figure_style import AMBER, GREY, INK, MOST, colours, figure, legend_of_cells, lines
from hjepa.search.reports.tables import short
from hjepa.search.states import FAILURES

#: {monitor: its title, and what a collapse does to it}.
MONITORS = {
    "features.effective_rank": "effective rank",
    "features.rankme": "RankMe",
    "features.participation": "participation ratio",
    "features.std": "standard deviation",
    "features.cosine": "mean cosine between images",
}
#: Of scores, from low to high; both ends can be seen on white and on black.
SCORES = LinearSegmentedColormap.from_list("scores", ["#9fb4cc", "#3b82c4", "#e0902f", "#d6402f"])
#: Ends before the full budget.
CUT_SHORT = ("early_stopped", *FAILURES)
#: Choices of a field that are drawn one by one.
CHOICES = 9


def curves(found: Mapping[str, Any]) -> Figure | str:
    """Each trial's score at its rungs; a cross where it was stopped or ended badly, a square for its full probe."""
    scored = [trial for trial in found["curves"] if _series(trial["rungs"], "score")[0]]
    if not scored:
        return "no trial has reached a rung"
    drawn = figure(8.6, 4.4)
    axes = drawn.subplots()
    lines(axes, found, [(trial["cell"], *_series(trial["rungs"], "score")) for trial in scored])
    chosen = colours(found)
    for trial in scored[:MOST]:
        x, y = _series(trial["rungs"], "score")
        colour = chosen.get(trial["cell"], GREY)
        if trial["state"] in CUT_SHORT:
            axes.plot(x[-1], y[-1], "x", color=colour, ms=6, mew=1.6, zorder=4)
        for point in trial["full"]:
            if point["epoch"] and trial["cell"] in chosen:
                axes.plot(point["epoch"], point["score"], "s", color=colour, ms=4.5, alpha=0.75, mew=0, zorder=5)
    for rung in found["agreement"]["rungs"]:
        axes.axvline(rung["epoch"], color=AMBER, lw=0.9, ls=":", zorder=1)
    if found["floor"] is not None:
        axes.axhline(found["floor"], color=INK, lw=0.8, ls="--", zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("score on the hold-out")
    more = [
        Line2D([], [], color=INK, marker="s", ms=5, lw=0, label="full probe"),
        Line2D([], [], color=INK, marker="x", ms=5, lw=0, label="stopped, or ended badly"),
        Line2D([], [], color=AMBER, lw=1, ls=":", label="rung"),
        Line2D([], [], color=INK, lw=0.8, ls="--", label="untrained"),
    ]
    legend_of_cells(drawn, found, more)
    return drawn


def monitors(found: Mapping[str, Any]) -> Figure | str:
    """The collapse monitors of every trial over its epochs: ranks that fall or a cosine near 1 are a collapse."""
    names = [name for name in MONITORS if any(_series(trial["rungs"], name)[0] for trial in found["curves"])]
    panels = [(MONITORS[name], [("rungs", name)]) for name in names]
    return _panels(found, panels) or "no trial has collapse monitors"


def levels(found: Mapping[str, Any]) -> Figure | str:
    """How much of its targets' variance the prediction of each level explains, over the epochs."""
    names = dict.fromkeys(name for trial in found["curves"] for point in trial["levels"] for name in point)
    shares = sorted(name for name in names if name != "epoch")
    panels = [(f"explained share, {name.rpartition('.')[2]}", [("levels", name)]) for name in shares]
    return _panels(found, panels, floor=-1.0) or "no trial has logged what its levels explain"


def parallel(found: Mapping[str, Any]) -> Figure | str:
    """Each configuration as a line over the searched fields, coloured by its score at full budget."""
    entries = [entry for entry in found["configurations"] if entry["settings"]]
    paths = list(dict.fromkeys(path for entry in entries for path in entry["settings"]))
    if "comparisons" in found or not paths:
        return "no space was searched"
    ranked = [entry for entry in entries if entry["rank"] is not None]
    scores = [entry["score"] for entry in ranked]
    scale = Normalize(min(scores, default=0.0), max(scores, default=1.0))
    drawn = figure(min(max(7.0, 0.9 * len(paths) + 1.6), 13.0), 4.8)
    axes = drawn.subplots()
    heights = [_heights([entry["settings"].get(path, _ABSENT) for entry in entries]) for path in paths]
    for number, entry in list(enumerate(entries))[::-1]:
        full = entry["rank"] is not None
        if not full and number > MOST:
            continue
        y = [place[number] for place, _ in heights]
        colour = SCORES(scale(entry["score"])) if full else GREY
        axes.plot(range(len(paths)), y, color=colour, lw=2 if full else 0.8, alpha=0.9 if full else 0.4)
    for x, (_, marks) in enumerate(heights):
        axes.axvline(x, color=INK, lw=0.7)
        for height, label in marks:
            axes.annotate(label, (x, height), xytext=(3, 2), textcoords="offset points", fontsize=7.2)
    axes.set_xticks(range(len(paths)), [re.sub(r"([._])", r"\1\n", path) for path in paths], fontsize=7.6)
    axes.set_yticks([])
    axes.set_ylim(-0.16, 1.08)
    axes.set_xlim(-0.15, len(paths) - 0.4)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(visible=False)
    if scores:
        drawn.colorbar(ScalarMappable(scale, SCORES), ax=axes, label=found["objective"][0]["metric"], pad=0.01)
    return drawn


#: In place of a setting that a configuration does not have.
_ABSENT = object()


def _heights(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value of a field lies on its axis, 0 to 1, and the axis's marks; a field that is off lies below."""
    there = [value for value in values if value is not _ABSENT]
    distinct = list(dict.fromkeys(map(_key, there)))
    numbers = [float(v) for v in there if isinstance(v, int | float) and not isinstance(v, bool)]
    off = [(-0.12, "off")] if len(there) < len(values) else []
    if len(numbers) == len(there) and len(distinct) > 1:
        wide = min(numbers) > 0 and max(numbers) > WIDE * min(numbers)
        measure = math.log if wide else float
        low, high = measure(min(numbers)), measure(max(numbers))
        y = [-0.12 if v is _ABSENT else (measure(v) - low) / (high - low) for v in values]
        shown = sorted(set(numbers)) if len(distinct) <= CHOICES else [min(numbers), max(numbers)]
        return y, [*off, *(((measure(v) - low) / (high - low), short(v)) for v in shown)]
    step = max(len(distinct) - 1, 1)
    where = {name: index / step for index, name in enumerate(distinct)}
    y = [-0.12 if v is _ABSENT else where[_key(v)] for v in values]
    return y, [*off, *((place, name) for name, place in where.items())]


def _key(value: Any) -> str:
    return short(value)


def _series(points: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    known = [(point["epoch"], point[name]) for point in points if point.get(name) is not None]
    return [x for x, _ in known], [y for _, y in known]


def _panels(
    found: Mapping[str, Any], panels: Sequence[tuple[str, Sequence[tuple[str, str]]]], floor: float | None = None
) -> Figure | None:
    """Small figures side by side, a line a trial in each; values below `floor` leave the panel."""
    if not panels:
        return None
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    drawn = figure(9.6, 0.9 + 2.2 * rows)
    grid: list[Axes] = list(drawn.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, parts) in zip(grid, panels, strict=False):
        for part, name in parts:
            lines(axes, found, [(trial["cell"], *_series(trial[part], name)) for trial in found["curves"]])
        axes.set_title(title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if floor is not None:
            bottom, top = axes.get_ylim()
            axes.set_ylim(max(bottom, floor), max(top, 0.05))
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    drawn.supxlabel("epoch", fontsize=9.5)
    legend_of_cells(drawn, found)
    return drawn
