"""Figures of scores at full budget: effects of comparisons, cost against score, importances.

Each takes the JSON report, and returns a figure, or why there is none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from hjepa.search.ablation.comparisons import subtraction
from hjepa.search.costs import COSTS
from hjepa.search.reports.figure_style import AMBER, BLUE, GREEN, GREY, INK, colours, figure, legend_of_cells

#: Costs that differ by more are drawn on a logarithmic axis.
WIDE = 20.0


def effects(found: Mapping[str, Any]) -> Figure | str:
    """Each comparison: a point a seed, the mean with its t interval, the band that was claimed, the test split."""
    rows = [row for row in compared(found) if row["effect"] is not None]
    if not rows:
        return "no comparison has an effect yet" if "comparisons" in found else "a search compares when it is confirmed"
    drawn = figure(8.6, 1.5 + 0.58 * len(rows))
    axes = drawn.subplots()
    for place, row in enumerate(rows):
        _effect(axes, place, row)
    axes.axvline(0, color=INK, lw=0.9)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    design = "a_a" if any(row["kind"] == "label" for row in rows) else ""
    axes.set_xlabel(f"effect on {found['objective'][0]['metric']}, points ({subtraction(design)})")
    handles = [
        Line2D([], [], color=INK, marker="D", ms=5, lw=2, label="mean, 95 % interval"),
        Line2D([], [], color=BLUE, marker="o", ms=5, lw=0, alpha=0.6, label="a seed"),
    ]
    if any(row["claims"] for row in rows):
        handles.append(Patch(color=AMBER, alpha=0.3, lw=0, label="claimed"))  # type: ignore[arg-type]
    if any(row["test"] is not None for row in rows):
        handles.append(Line2D([], [], color=GREEN, marker="^", ms=6, lw=1.2, label="on test"))
    drawn.legend(handles=handles, loc="outside upper left", ncols=4)
    return drawn


def compared(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The comparisons of an ablation, or those of a search's confirmation."""
    if "comparisons" in found:
        return list(found["comparisons"])
    confirmation = found["selection"]["confirmation"]
    return [] if confirmation is None else [candidate["comparison"] for candidate in confirmation["candidates"]]


def _effect(axes: Axes, place: int, row: Mapping[str, Any]) -> None:
    for claim in row["claims"]:
        low, high = claim["effect"]
        band = Rectangle((low, place - 0.38), high - low, 0.76, color=AMBER, alpha=0.28, lw=0, zorder=1)
        axes.add_patch(band)
        axes.update_datalim([(low, place), (high, place)])
    seeds = row["differences"]
    spread = np.linspace(-0.16, 0.16, len(seeds)) if len(seeds) > 1 else np.zeros(len(seeds))
    axes.plot(seeds, place + spread, "o", color=BLUE, ms=4.5, alpha=0.6, mew=0, zorder=3)
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [place, place], color=INK, lw=2, zorder=4)
    axes.plot(row["effect"], place, "D", color=INK, ms=5.5, zorder=5)
    test = row["test"]
    if test is not None and test["effect"] is not None:
        if test["low"] is not None:
            axes.plot([test["low"], test["high"]], [place + 0.29] * 2, color=GREEN, lw=1.2, zorder=4)
        axes.plot(test["effect"], place + 0.29, "^", color=GREEN, ms=5.5, zorder=5)


def pareto(found: Mapping[str, Any]) -> Figure | str:
    """What a trial of each configuration at full budget cost, against its score, and the front of the objectives:
    of one, of its score and of device time; of several, the first cost is drawn.
    """
    several = found["objective"][1:]
    cost = COSTS[several[0]["metric"]] if several else COSTS["device_hours"]
    unit = cost.unit if several else 60.0
    known = [e for e in found["configurations"] if e["rank"] is not None and e[cost.key]]
    if not known:
        return "no configuration with a score at full budget has a measured cost"
    drawn = figure(7.2, 4.2)
    axes = drawn.subplots()
    minutes = [entry[cost.key] / unit for entry in known]
    scores = [entry["score"] for entry in known]
    for entry, x in zip(known, minutes, strict=True):
        if entry["sd"] is not None:
            axes.errorbar(x, entry["score"], entry["sd"], color=GREY, lw=0.8, alpha=0.7, zorder=1)
    axes.plot(minutes, scores, "o", color=GREY, ms=5.5, mew=0, alpha=0.8, zorder=2)
    front = sorted(
        (x, entry["score"], entry["cell"]) for entry, x in zip(known, minutes, strict=True) if entry["front"]
    )
    if len(several) < 2 and cost.mode == "min":  # else the front is no such staircase
        axes.step([x for x, _, _ in front], [y for _, y, _ in front], where="post", color=BLUE, lw=1.4, zorder=3)
    axes.plot([x for x, _, _ in front], [y for _, y, _ in front], "o", color=BLUE, ms=7, mew=0, zorder=4)
    for x, y, cell in front[-8:]:
        axes.annotate(cell, (x, y), xytext=(-7, 4), textcoords="offset points", fontsize=8.5, ha="right")
    if max(minutes) > WIDE * min(minutes):
        axes.set_xscale("log")
    axes.margins(0.08, 0.14)
    axes.set_xlabel(f"{several[0]['metric'].replace('_', ' ')} of a trial" if several else "device minutes a trial")
    axes.set_ylabel(f"{found['objective'][0]['metric']} on the hold-out")
    handles = [
        Line2D([], [], color=BLUE, marker="o", ms=6, lw=1.4, label="Pareto front"),
        Line2D([], [], color=GREY, marker="o", ms=5, lw=0, label="other configurations at full budget"),
    ]
    drawn.legend(handles=handles, loc="outside upper left", ncols=2)
    return drawn


def importances(found: Mapping[str, Any]) -> Figure | str:
    """The searched fields by their importance, each with what chance alone reaches."""
    measured = found.get("importances")
    if measured is None:
        return "an ablation has effects in place of importances"
    known = sorted(_known(measured["dimensions"]), key=lambda entry: -entry["importance"])
    if not known:
        return str(measured["cannot"] or "no field has a known importance")
    drawn = figure(7.2, 1.2 + 0.3 * len(known))
    axes = drawn.subplots()
    places = range(len(known))
    axes.barh(places, [entry["importance"] for entry in known], height=0.62, color=BLUE, alpha=0.85)
    axes.plot([entry["chance"] for entry in known], places, "|", color=AMBER, ms=13, mew=2.2)
    axes.set_yticks(places, [entry["path"] for entry in known])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"importance ({measured['method']}), a share of 1")
    handles = [
        Patch(color=BLUE, alpha=0.85, lw=0, label="importance"),
        Line2D([], [], color=AMBER, marker="|", ms=10, mew=2.2, lw=0, label="by chance (95 of 100 shuffles)"),
    ]
    drawn.legend(handles=handles, loc="outside upper left", ncols=2)
    return drawn


def _known(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if entry["importance"] is not None]


def level_probes(found: Mapping[str, Any]) -> Figure | str:
    """What one cell of each level knows of the class: each configuration trained, and hollow its untrained encoder."""
    measured = found.get("level_probes")
    if measured is None:
        return "no trial that ran to its end probed its levels (evaluation.levels)"
    drawn = figure(7.2, 4.0)
    axes = drawn.subplots()
    for cell, colour in colours(found).items():
        rows = [row for row in measured["rows"] if row["cell"] == cell]
        levels = [row["level"] for row in rows]
        axes.plot(levels, [row["trained"] for row in rows], "o-", color=colour, lw=1.4, ms=6, mew=0, zorder=3)
        axes.plot(levels, [row["untrained"] for row in rows], "o:", color=colour, lw=0.9, ms=6, mfc="none", zorder=2)
    axes.set_xticks(sorted({row["level"] for row in measured["rows"]}))
    axes.set_xlabel("level (0 is the finest)")
    axes.set_ylabel("probe of one cell on the hold-out")
    legend_of_cells(drawn, found)
    return drawn
