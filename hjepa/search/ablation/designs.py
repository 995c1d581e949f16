"""The designs of an ablation: which combinations of its factors run, and what they are compared for.

A comparison is a contrast: the mean score of some cells minus the mean of others, seed by seed. Cells are
configurations by name; two cells that resolve to the same configuration run once.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hjepa.overrides import ConfigError
from hjepa.search.ablation.factors import Factor
from hjepa.search.ablation.fractional import aliases, fraction, resolution, roman
from hjepa.search.ablation.keys import AblationSpec

#: How far apart the seeds of the labels of an A/A study lie.
SEED_STRIDE = 10_000
#: More configurations than this are a mistake.
MAX_CELLS = 512
#: A fraction of more factors takes long to find.
MAX_FRACTION = 10


@dataclass(frozen=True)
class Cell:
    """One configuration: a level of every factor. `shift` is added to the study's seeds."""

    name: str
    levels: Mapping[str, str]
    shift: int = 0


@dataclass(frozen=True)
class Comparison:
    """Mean of the cells `minuend` minus mean of the cells `subtrahend`, as `says` puts it.

    `kind` is factor, interaction, step (of a path) or label (of an A/A study). An interaction is half the
    change that one factor makes to the other's effect.
    """

    name: str
    kind: str
    minuend: tuple[str, ...]
    subtrahend: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Design:
    """What runs and what is compared; `size` counts all cells, of which a path knows only the first yet."""

    name: str
    factors: tuple[Factor, ...]
    cells: tuple[Cell, ...]
    comparisons: tuple[Comparison, ...]
    size: int
    notes: tuple[str, ...] = field(default=())

    @property
    def samples(self) -> tuple[Cell, ...]:
        """The cells to check before anything runs: all, or of a path both ends and each factor alone."""
        if self.name != "path":
            return self.cells
        bare = self.cells[0].levels
        single = [Cell(factor.name, {**bare, factor.name: "with"}) for factor in self.factors]
        return (*self.cells, *single, Cell("+".join(bare), _all(self.factors, "with")))

    def overrides(self, cell: Cell) -> dict[str, Any]:
        """What a cell sets, over the base experiment."""
        settings: dict[str, Any] = {}
        for factor in self.factors:
            settings |= factor.levels[cell.levels[factor.name]]
        return settings


def make_design(spec: AblationSpec, factors: tuple[Factor, ...], source: str) -> Design:
    """The design of an ablation. Raises ConfigError for factors that it cannot take."""
    many = [factor.name for factor in factors if not factor.two_level]
    if many and spec.design not in ("one_at_a_time", "factorial"):
        allowed = "without and with; levels belong to one_at_a_time or factorial"
        raise ConfigError(
            [f"ablation.factors.{many[0]}: got levels; design {spec.design} allowed {allowed} ({source})"]
        )
    _refuse_many(spec, factors, source)
    if spec.design == "a_a":
        return _a_a(spec.labels or 2)
    try:
        design = _MAKERS[spec.design](spec, factors)
    except ValueError as error:
        raise ConfigError([f"ablation.{error} ({source})"]) from error
    if design.size > MAX_CELLS:
        raise ConfigError([f"ablation.factors: give {design.size} cells; allowed at most {MAX_CELLS} ({source})"])
    return design


def _refuse_many(spec: AblationSpec, factors: tuple[Factor, ...], source: str) -> None:
    """Raise ConfigError for what would take long to list only to be refused."""
    if (spec.labels or 0) > MAX_CELLS:
        raise ConfigError([f"ablation.labels: got {spec.labels}; allowed at most {MAX_CELLS} ({source})"])
    most = MAX_FRACTION if spec.design == "fractional_factorial" else MAX_CELLS
    if len(factors) > most:
        raise ConfigError([f"ablation.factors: got {len(factors)}; allowed at most {most} ({source})"])
    cells = math.prod(len(factor.levels) for factor in factors) if spec.design == "factorial" else 0
    if cells > MAX_CELLS:
        raise ConfigError([f"ablation.factors: give {cells} cells; allowed at most {MAX_CELLS} ({source})"])


def _all(factors: Sequence[Factor], level: str) -> dict[str, str]:
    return {factor.name: level for factor in factors}


def _leave_one_out(spec: AblationSpec, factors: tuple[Factor, ...]) -> Design:
    full = _all(factors, "with")
    cells = [Cell("full", full)]
    comparisons = []
    for factor in factors:
        name = f"without_{factor.name}"
        cells.append(Cell(name, {**full, factor.name: "without"}))
        comparisons.append(Comparison(factor.name, "factor", ("full",), (name,), f"full - {name}"))
    return Design(spec.design, factors, tuple(cells), tuple(comparisons), len(cells))


def _add_one_in(spec: AblationSpec, factors: tuple[Factor, ...]) -> Design:
    bare = _all(factors, "without")
    cells = [Cell("baseline", bare)]
    comparisons = []
    for factor in factors:
        name = f"with_{factor.name}"
        cells.append(Cell(name, {**bare, factor.name: "with"}))
        comparisons.append(Comparison(factor.name, "factor", (name,), ("baseline",), f"{name} - baseline"))
    return Design(spec.design, factors, tuple(cells), tuple(comparisons), len(cells))


def _one_at_a_time(spec: AblationSpec, factors: tuple[Factor, ...]) -> Design:
    reference = {factor.name: factor.reference for factor in factors}
    cells = [Cell("reference", reference)]
    comparisons = []
    for factor in factors:
        for level in itertools.islice(factor.levels, 1, None):
            name = _leveled(factor, level)
            cells.append(Cell(name, {**reference, factor.name: level}))
            comparisons.append(Comparison(name, "factor", (name,), ("reference",), f"{name} - reference"))
    return Design(spec.design, factors, tuple(cells), tuple(comparisons), len(cells))


def _factorial(spec: AblationSpec, factors: tuple[Factor, ...]) -> Design:
    names = [factor.name for factor in factors]
    combinations = itertools.product(*(factor.levels for factor in factors))
    cells = tuple(_combined(factors, dict(zip(names, levels, strict=True))) for levels in combinations)
    comparisons = [
        _main(factor, level, cells) for factor in factors for level in itertools.islice(factor.levels, 1, None)
    ]
    pairs = itertools.combinations([factor for factor in factors if factor.two_level], 2)
    comparisons += [_interaction(one, two, cells, ()) for one, two in pairs]
    return Design(spec.design, factors, cells, tuple(comparisons), len(cells))


def _fractional(spec: AblationSpec, factors: tuple[Factor, ...]) -> Design:
    names = [factor.name for factor in factors]
    signs = fraction(len(factors), spec.resolution or 4)
    cells = tuple(
        _combined(factors, {name: "with" if sign > 0 else "without" for name, sign in zip(names, row, strict=True)})
        for row in signs
    )
    groups = aliases(names, signs)
    comparisons = [_main(factor, "with", cells) for factor in factors]
    by_name = {factor.name: factor for factor in factors}
    mixed = {name for group in groups if any(":" not in member for member in group) for name in group}
    for group in groups:
        if group[0] not in mixed:
            one, two = (by_name[name] for name in group[0].split(":"))
            comparisons.append(_interaction(one, two, cells, group[1:]))
    length = resolution(signs)
    full = len(cells) == 2 ** len(factors)
    kept = "all combinations: no aliases" if full else f"resolution {roman(length)}"
    notes = [f"{len(cells)} of {2 ** len(factors)} combinations; {kept}"]
    notes += [f"aliased (one estimate for all of them): {' = '.join(group)}" for group in groups if len(group) > 1]
    return Design(spec.design, factors, cells, tuple(comparisons), len(cells), tuple(notes))


def _path(spec: AblationSpec, factors: tuple[Factor, ...]) -> Design:
    """What is known of a path before anything ran: its two ends."""
    ends = (Cell("start", _all(factors, "without")),)
    count = len(factors)
    notes = (
        f"{count} steps, each the best of the factors that are left, decided from the records: "
        f"{1 + count * (count + 1) // 2} cells",
        "a step is chosen by the scores that it is judged by: its effect is optimistic",
    )
    return Design(spec.design, factors, ends, (), 1 + count * (count + 1) // 2, notes)


def _a_a(labels: int) -> Design:
    cells = tuple(Cell(f"label_{number}", {}, SEED_STRIDE * number) for number in range(labels))
    first = cells[0].name
    comparisons = tuple(
        Comparison(cell.name, "label", (cell.name,), (first,), f"{cell.name} - {first}") for cell in cells[1:]
    )
    notes = (f"one configuration; label n runs on the study's seeds + {SEED_STRIDE} n, so that nothing is shared",)
    return Design("a_a", (), cells, comparisons, labels, notes)


_MAKERS: dict[str, Callable[[AblationSpec, tuple[Factor, ...]], Design]] = {
    "leave_one_out": _leave_one_out,
    "add_one_in": _add_one_in,
    "one_at_a_time": _one_at_a_time,
    "factorial": _factorial,
    "fractional_factorial": _fractional,
    "path": _path,
}


def _leveled(factor: Factor, level: str) -> str:
    """The name of a level: the factor's own where it is simply there."""
    return factor.name if factor.two_level else f"{factor.name}={level}"


def _combined(factors: Sequence[Factor], levels: Mapping[str, str]) -> Cell:
    """A cell named by the levels that are not the reference."""
    named = [_leveled(factor, levels[factor.name]) for factor in factors if levels[factor.name] != factor.reference]
    return Cell("+".join(named) or "none", levels)


def _main(factor: Factor, level: str, cells: Sequence[Cell]) -> Comparison:
    """A main effect: the mean of all cells at a level minus that of all at the reference."""
    at, reference = (
        tuple(cell.name for cell in cells if cell.levels[factor.name] == wanted) for wanted in (level, factor.reference)
    )
    name = _leveled(factor, level)
    says = f"mean of the {len(at)} cells at {factor.name}={level} - mean of the {len(reference)} at {factor.reference}"
    return Comparison(name, "factor", at, reference, says)


def _interaction(one: Factor, two: Factor, cells: Sequence[Cell], same: Sequence[str]) -> Comparison:
    alike = {cell.name: (cell.levels[one.name] == "with") == (cell.levels[two.name] == "with") for cell in cells}
    plus = tuple(name for name, equal in alike.items() if equal)
    minus = tuple(name for name, equal in alike.items() if not equal)
    name = " = ".join([f"{one.name}:{two.name}", *same])
    says = f"half of what {two.name} adds to the effect of {one.name}"
    return Comparison(name, "interaction", plus, minus, says)
