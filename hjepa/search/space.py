"""A search space: dimensions over configuration fields, some of which exist only under a condition."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from hjepa.config.fields import holds

Kind = Literal["choice", "uniform", "log_uniform", "int", "log_int"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Condition = Mapping[str, tuple[Any, ...] | str]

#: Spaces with more points than this are not listed.
MAX_GRID = 100_000


@dataclass(frozen=True)
class Dimension:
    """One searched field.

    `choice` holds `choices` (values may be null or lists); the other kinds go from `low` to `high`,
    both included, in steps of `step` where given (never on a logarithmic scale). The dimension exists
    only where `when` holds: {path: allowed values, SET for any but null, or POSITIVE}. `automatic` are the paths
    of conditions that the configuration's schema added.
    """

    path: str
    kind: Kind
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    when: Condition = field(default_factory=dict)
    automatic: tuple[str, ...] = ()

    @property
    def log(self) -> bool:
        """Whether values are drawn on a logarithmic scale."""
        return self.kind.startswith("log_")

    @property
    def integer(self) -> bool:
        """Whether values are whole numbers."""
        return self.kind in ("int", "log_int")

    def values(self) -> tuple[Any, ...] | None:
        """Every value in order, or None for a continuous range (or one too long to list)."""
        if self.kind == "choice":
            return self.choices
        step = 1 if self.integer and self.step is None else self.step
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if count > MAX_GRID:
            return None
        if self.integer:
            return tuple(int(self.low) + int(step) * number for number in range(count))
        return tuple(self.low + step * number for number in range(count))

    def contains(self, value: Any) -> bool:
        """Whether a value is one of this dimension's."""
        if self.kind == "choice":
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / (self.step or 1.0)
        return (self.step is None and not self.integer) or abs(steps - round(steps)) < 1e-6

    def samples(self) -> tuple[Any, ...]:
        """The values that are checked before anything runs: every choice, or both bounds."""
        if self.kind == "choice":
            return self.choices
        bounds = (int(self.low), int(self.high)) if self.integer else (self.low, self.high)
        return bounds


@dataclass(frozen=True)
class Space:
    """Dimensions in an order in which each comes after those its condition reads.

    `base` are the base experiment's values by dotted path: what a condition reads where no dimension
    sets it. The baseline is the empty assignment.
    """

    dimensions: tuple[Dimension, ...]
    base: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, path: str) -> Dimension:
        return next(dimension for dimension in self.dimensions if dimension.path == path)

    @property
    def paths(self) -> tuple[str, ...]:
        """The searched fields."""
        return tuple(dimension.path for dimension in self.dimensions)

    def is_active(self, dimension: Dimension, assigned: Mapping[str, Any]) -> bool:
        """Whether a dimension exists, given the values of the active dimensions before it.

        A condition on a searched field that is itself inactive does not hold.
        """
        for path, allowed in dimension.when.items():
            if path in assigned:
                value = assigned[path]
            elif path in self.paths:
                return False
            else:
                value = self.base[path]
            if not holds(value, allowed):
                return False
        return True

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The assignment without the values of inactive dimensions: a trial's overrides, in space order."""
        kept: dict[str, Any] = {}
        for dimension in self.dimensions:
            if dimension.path in values and self.is_active(dimension, kept):
                kept[dimension.path] = values[dimension.path]
        return kept

    def is_baseline(self, assigned: Mapping[str, Any]) -> bool:
        """Whether an assignment gives every field the base's own value."""
        return all(value == self.base[path] for path, value in assigned.items())

    def continuous(self) -> tuple[str, ...]:
        """Paths of the dimensions whose values cannot be listed."""
        return tuple(dimension.path for dimension in self.dimensions if dimension.values() is None)

    def grid(self) -> list[dict[str, Any]]:
        """Every distinct assignment but the baseline's own. Raises ValueError for an endless space."""
        if self.continuous() or self.points() > MAX_GRID:
            raise ValueError("the space cannot be listed")
        return [point for point in self._points(self.dimensions, {}) if not self.is_baseline(point)]

    def size(self) -> int | None:
        """Distinct configurations, the baseline among them; None when they cannot be listed."""
        if self.continuous() or self.points() > MAX_GRID:
            return None
        return 1 + len(self.grid())

    def points(self) -> int:
        """Upper bound on the assignments of a finite space (conditions ignored)."""
        return math.prod(len(dimension.values() or ()) for dimension in self.dimensions)

    def _points(self, rest: tuple[Dimension, ...], assigned: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not rest:
            yield assigned
            return
        first, others = rest[0], rest[1:]
        if not self.is_active(first, assigned):
            yield from self._points(others, assigned)
            return
        for value in first.values() or ():
            yield from self._points(others, {**assigned, first.path: value})

    def example(self, dimension: Dimension) -> dict[str, Any] | None:
        """One assignment of the dimensions it depends on under which it exists; None if there is none."""
        ancestors = self._ancestors(dimension)
        for combination in itertools.product(*(parent.values() or parent.samples() for parent in ancestors)):
            given = dict(zip((parent.path for parent in ancestors), combination, strict=True))
            assigned = self.active(given)
            if self.is_active(dimension, assigned):
                return assigned
        return None

    def _ancestors(self, dimension: Dimension) -> tuple[Dimension, ...]:
        """The dimensions whose values decide whether this one exists, in space order."""
        wanted = {path for path in dimension.when if path in self.paths}
        for earlier in reversed(self.dimensions):
            if earlier.path in wanted:
                wanted |= {path for path in earlier.when if path in self.paths}
        return tuple(earlier for earlier in self.dimensions if earlier.path in wanted)
