"""What all figures of a report share: colours, sizes, and which configurations stand out."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

#: Of text and axes; in a page it becomes the colour of the page's text.
INK = "#1f2a37"
#: Readable on white and on black.
BLUE, AMBER, GREEN, GREY = "#3b82c4", "#e0902f", "#2f9e6e", "#8b95a3"
PALETTE = (BLUE, AMBER, GREEN, "#d6504f", "#8f73d0", "#1fa3ad", "#c767a3", "#8a7a3f")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "axes.facecolor": "none",
}
#: Lines of the other trials that a figure draws at most.
MOST = 150
#: Letters of a legend that stand beside each other.
LETTERS = 100


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def colours(found: Mapping[str, Any]) -> dict[str, str]:
    """{cell: colour} of the configurations that stand out: the best few, and the baseline."""
    ranking = [entry["cell"] for entry in found["configurations"]]
    chosen = ranking[: len(PALETTE)]
    if "baseline" in ranking and "baseline" not in chosen:
        chosen[-1] = "baseline"
    return dict(zip(chosen, PALETTE, strict=False))


def lines(axes: Axes, found: Mapping[str, Any], curves: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> None:
    """Curves (cell, x, y): those that stand out in their colours, the others grey behind them."""
    chosen = colours(found)
    # Several seeds of each: thinner, so that they can be told apart.
    thick = (1.5, 0.9, 3) if len(curves) <= 2 * len(found["configurations"]) else (0.9, 0.55, 3)
    drawn = 0
    for cell, x, y in curves:
        bright = chosen.get(cell)
        drawn += bright is None
        if bright is None and drawn > MOST:
            continue
        width, alpha, order = thick if bright else (0.8, 0.45, 2)
        axes.plot(x, y, color=bright or GREY, lw=width, alpha=alpha, zorder=order, marker="o", ms=2.6)


def legend_of_cells(figure: Figure, found: Mapping[str, Any], more: Sequence[Any] = ()) -> None:
    """Above the figure: who has which colour."""
    chosen = colours(found)
    handles: list[Any] = [Line2D([], [], color=colour, lw=2, label=cell) for cell, colour in chosen.items()]
    if len(found["configurations"]) > len(chosen):
        handles.append(Line2D([], [], color=GREY, lw=1, label="others"))
    handles += more
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(2, min(len(handles), 7, LETTERS // (longest + 5)))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)
