"""The greedy path from one recipe to another: which factor pays most, then which next, and so on.

Source: Fawcett and Hoos 2016, "Analysing differences between algorithm configurations through ablation".
From the recipe without any factor, each step tries every factor that is left and keeps the best mean over
seeds. A cell is named by its factors in the order in which they were kept, so that the cells that exist say
which way the path has gone: a decision once acted upon stays, whatever more seeds say.
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace

from hjepa.search.ablation.designs import Cell, Comparison, Design
from hjepa.search.ablation.factors import Factor


def grown(design: Design, known: Collection[str], means: Mapping[str, float | None]) -> Design:
    """The path as far as it is decided: its cells, in order, and a comparison for each step taken.

    `known` are the names of the cells that exist; `means` are those that have ended: their mean score, or
    None where a seed has none. The last cells are the candidates of the step that is not decided yet.
    """
    cells, steps = [design.cells[0]], [design.cells[0].name]
    taken: list[str] = []
    while len(taken) < len(design.factors):
        candidates = [_step(design.factors, [*taken, f.name]) for f in design.factors if f.name not in taken]
        cells += candidates
        chosen = _chosen(candidates, known, means)
        if chosen is None:
            break
        steps.append(chosen.name)
        taken = chosen.name.split("+")
    comparisons = [
        Comparison(taken[number], "step", (after,), (before,), f"{after} - {before}")
        for number, (before, after) in enumerate(itertools.pairwise(steps))
    ]
    if len(taken) == len(design.factors) > 1:
        comparisons.append(Comparison("all", "total", (steps[-1],), (steps[0],), f"{steps[-1]} - {steps[0]}"))
    return replace(design, cells=tuple(cells), comparisons=tuple(comparisons))


def _step(factors: tuple[Factor, ...], taken: list[str]) -> Cell:
    levels = {factor.name: "with" if factor.name in taken else "without" for factor in factors}
    return Cell("+".join(taken), levels)


def _chosen(candidates: list[Cell], known: Collection[str], means: Mapping[str, float | None]) -> Cell | None:
    """The candidate that the path went on from, else the best of those that have ended; None while it is open."""
    for cell in candidates:
        if any(name.startswith(f"{cell.name}+") for name in known):
            return cell
    if not all(cell.name in means for cell in candidates):
        return None
    scored = [(score, cell) for cell in candidates if (score := means[cell.name]) is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None
