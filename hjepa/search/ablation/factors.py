"""The factors of an ablation: named groups of settings, each with its levels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hjepa.overrides import ConfigError, flatten, knobs, nearest, problem
from hjepa.search.schema import RESERVED

TWO_LEVELS = ("without", "with")
#: No sign that joins names into others: `=` a level, `:` an interaction, `+` a step of a path.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
#: Names that designs give to cells and comparisons of their own.
TAKEN = ("start", "reference", "none", "full", "baseline", "all")


@dataclass(frozen=True)
class Factor:
    """One thing that is varied: {level: {dotted path: value}}; the first level is the reference."""

    name: str
    levels: Mapping[str, Mapping[str, Any]]

    @property
    def two_level(self) -> bool:
        """Whether it is something that is there or not."""
        return tuple(self.levels) == TWO_LEVELS

    @property
    def reference(self) -> str:
        """The level that the others are compared with."""
        return next(iter(self.levels))


def parse_factors(tree: Mapping[str, Any], source: str) -> tuple[Factor, ...]:
    """The factors of an ablation. Raises ConfigError with one line for each problem.

    Each must be two levels (`without`, `with`) or a mapping of `levels`; no field may belong to two factors,
    so that any combination of levels is one configuration.
    """
    problems: list[str] = []
    factors: list[Factor] = []
    for name, spec in tree.items():
        try:
            factors.append(_factor(name, spec))
        except ConfigError as error:
            problems += error.problems
    owner: dict[str, str] = {}
    for factor in factors:
        for path in dict.fromkeys(path for level in factor.levels.values() for path in level):
            if path in owner:
                problems.append(f"ablation.factors.{factor.name}: {path} belongs to {owner[path]}; allowed one factor")
            owner.setdefault(path, factor.name)
    if problems:
        raise ConfigError([f"{line} ({source})" for line in problems])
    return tuple(factors)


def _factor(name: str, spec: Any) -> Factor:
    where = f"ablation.factors.{name}"
    if not NAME.fullmatch(name) or name in TAKEN:
        raise ConfigError(
            [problem(where, name, f"none of {', '.join(TAKEN)}; letters, digits, '.', '_' and '-', at most 40")]
        )
    allowed = "a mapping of without and with, or of levels"
    if not isinstance(spec, Mapping):
        raise ConfigError([problem(where, spec, allowed)])
    if set(spec) == set(TWO_LEVELS):
        levels = {level: spec[level] for level in TWO_LEVELS}
    elif set(spec) == {"levels"} and isinstance(spec["levels"], Mapping) and len(spec["levels"]) > 1:
        levels = dict(spec["levels"])
    else:
        raise ConfigError([f"{where}: got {', '.join(map(str, spec)) or 'nothing'}; allowed {allowed} (two or more)"])
    return Factor(name, {str(level): _settings(settings, f"{where}.{level}") for level, settings in levels.items()})


def _settings(settings: Any, where: str) -> dict[str, Any]:
    level = where.rpartition(".")[2]
    if not NAME.fullmatch(level):
        raise ConfigError([problem(where, level, "letters, digits, '.', '_' and '-', at most 40")])
    if not isinstance(settings, Mapping):
        raise ConfigError([problem(where, settings, "a mapping of settings, {path: value}")])
    flat = flatten(settings)
    for path in flat:
        if path not in knobs():
            raise ConfigError([f"{where}.{path}: unknown field{nearest(path, knobs())}"])
        if path in RESERVED:
            raise ConfigError([f"{where}.{path}: cannot be a factor; it is decided by {RESERVED[path]}"])
        if knobs()[path].effect.startswith("runtime"):
            raise ConfigError(
                [f"{where}.{path}: decides how a run is executed and not its score; measured by benchmarks/systems.py"]
            )
    return flat
