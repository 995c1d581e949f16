"""What an ablation must hold before it runs: cells that can be, factors that act, claims of what is compared."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hjepa.config import Config
from hjepa.overrides import ConfigError, problem
from hjepa.search.ablation.designs import SEED_STRIDE, Design
from hjepa.search.ablation.factors import Factor
from hjepa.search.schema import StudySpec

ConfigOf = Callable[[Mapping[str, Any]], Config]


def check_design(design: Design, config_of: ConfigOf, source: str) -> None:
    """Raise ConfigError for cells that are no configuration, and for factors of which two levels are one.

    `config_of` gives the base's Config with some fields changed, or raises ConfigError.
    """
    problems: list[str] = []
    for cell in design.samples:
        try:
            config_of(design.overrides(cell))
        except ConfigError as error:
            problems += [f"ablation: the cell {cell.name} cannot be: {line}" for line in error.problems]
    problems = problems or [line for factor in design.factors for line in _idle(factor, design, config_of)]
    if problems:
        raise ConfigError([line if source in line else f"{line} ({source})" for line in dict.fromkeys(problems)])


def _idle(factor: Factor, design: Design, config_of: ConfigOf) -> list[str]:
    """A line where two levels of a factor give one configuration beside the first cell's other factors."""
    start = design.cells[0]
    found: dict[str, list[str]] = {}
    for level in factor.levels:
        try:
            config = config_of(design.overrides(replace(start, levels={**start.levels, factor.name: level})))
        except ConfigError:  # a combination that this design does not run
            continue
        found.setdefault(config.model_dump_json(), []).append(level)
    return [
        f"ablation.factors.{factor.name}: {one} and {two} are one configuration; allowed levels that differ"
        for same in found.values()
        for one, two in itertools.combinations(same, 2)
    ]


def check_claims(spec: StudySpec, design: Design, source: str) -> None:
    """Raise ConfigError for claims of what is not compared, and for seeds that an A/A study cannot keep apart."""
    named = [comparison.name for comparison in design.comparisons] or [factor.name for factor in design.factors]
    problems = [
        problem(f"claims.{number}.factor", claim.factor, f"a comparison: {', '.join(named)}", source=source)
        for number, claim in enumerate(spec.claims)
        if claim.factor not in named
    ]
    if design.name == "a_a" and max(spec.seeds) >= SEED_STRIDE:
        problems.append(problem("seeds", max(spec.seeds), f"below {SEED_STRIDE} in an A/A study", source=source))
    if problems:
        raise ConfigError(problems)
