"""The `space` of a study file -> checked dimensions.

Every path must be a field of the configuration that a search may vary, every choice and both bounds
must make a valid Config together with the rest of the base, and every dimension must be able to act.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hjepa.config import Config
from hjepa.config.fields import holds, in_words
from hjepa.overrides import ConfigError, Knob, knobs, nearest, problem, shown, values_of
from hjepa.search.schema import RESERVED
from hjepa.search.space import KINDS, Condition, Dimension, Space

ConfigOf = Callable[[Mapping[str, Any]], Config]
#: More choices than this are a mistake: each is tried before anything runs, and with those of every other dimension.
MAX_CHOICES = 100
MAX_DIMENSIONS = 64
MAX_STEPS = 1e9


def parse_space(tree: Mapping[str, Any], config_of: ConfigOf, base: Config, source: str) -> Space:
    """The checked space of a study file. Raises ConfigError with one line for each problem.

    `config_of` gives the base's Config with some fields changed, or raises ConfigError.
    """
    if not tree:
        raise ConfigError([problem("space", tree, "at least one dimension", source=source)])
    if len(tree) > MAX_DIMENSIONS:
        raise ConfigError([f"space: got {len(tree)} dimensions; allowed at most {MAX_DIMENSIONS} ({source})"])
    dimensions: list[Dimension] = []
    problems: list[str] = []
    for path, spec in tree.items():
        try:
            dimensions.append(_dimension(path, spec))
        except ConfigError as error:
            problems += [f"{line} ({source})" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    space = Space(_ordered(dimensions, source), values_of(base))
    _check_live(space, source)
    space = Space(tuple(_settled(dimension, space.paths) for dimension in space.dimensions), space.base)
    _check_values(space, config_of, source)
    _check_pairs(space, config_of, source)
    return space


def _dimension(path: str, spec: Any) -> Dimension:
    knob = _searchable(path)
    where = f"space.{path}"
    if not isinstance(spec, Mapping):
        raise ConfigError([problem(where, spec, f"a mapping with one of {', '.join(KINDS)}")])
    known = (*KINDS, "step", "when")
    for key in spec:
        if key not in known:
            raise ConfigError([f"{where}.{key}: unknown key; allowed {', '.join(known)}{nearest(str(key), known)}"])
    given = [kind for kind in KINDS if kind in spec]
    if len(given) != 1:
        raise ConfigError(
            [f"{where}: got {' and '.join(given) or 'no kind'}; allowed exactly one of {', '.join(KINDS)}"]
        )
    own = _condition(spec.get("when", {}), where)
    when, automatic = _with_schema(own, knob, where)
    make = functools.partial(Dimension, path, given[0], when=when, automatic=automatic)
    if given[0] == "choice":
        return make(choices=_choices(spec, where))
    low, high, step = _range(spec, given[0], knob, where)
    return make(low=low, high=high, step=step)


def _searchable(path: str) -> Knob:
    """The field of a dimension. Raises ConfigError for one that a search may not vary."""
    if path not in knobs():
        same_name = [known for known in knobs() if known.rpartition(".")[2] == path.rpartition(".")[2]]
        hint = nearest(path, knobs()) or (f"; did you mean {same_name[0]}?" if same_name else "")
        raise ConfigError([f"space.{path}: unknown field; allowed the paths that `hjepa-search features` lists{hint}"])
    knob = knobs()[path]
    if path in RESERVED:
        raise ConfigError([f"space.{path}: cannot be searched; it is decided by {RESERVED[path]}"])
    if knob.effect.startswith("runtime"):
        raise ConfigError(
            [
                f"space.{path}: cannot be searched, as it decides how a run is executed and not its score; "
                f"use --set {path}=...; what it costs or saves, benchmarks/systems.py measures"
            ]
        )
    return knob


def _choices(spec: Mapping[str, Any], where: str) -> tuple[Any, ...]:
    choices = spec["choice"]
    if "step" in spec:
        raise ConfigError([problem(f"{where}.step", spec["step"], "only with uniform or int")])
    if not isinstance(choices, list) or len(choices) < 2:
        raise ConfigError([problem(f"{where}.choice", choices, "a list of two or more values")])
    if len(choices) > MAX_CHOICES:
        raise ConfigError([f"{where}.choice: got {len(choices)} values; allowed at most {MAX_CHOICES}"])
    for number, choice in enumerate(choices):
        if choice in choices[:number]:
            raise ConfigError([f"{where}.choice: got {shown(choice)} twice; allowed different values"])
    return tuple(choices)


def _range(spec: Mapping[str, Any], kind: str, knob: Knob, where: str) -> tuple[float, float, float | None]:
    """The bounds and step of a range, checked against the field's type."""
    if knob.kind.partition(" ")[0] not in ("int", "float"):
        raise ConfigError([f"{where}: got {kind}; allowed choice, as the field is no number"])
    if knob.kind.startswith("int") and "int" not in kind:
        allowed = "log_int" if kind == "log_uniform" else "int"
        raise ConfigError([f"{where}: got {kind}; allowed {allowed} or choice, as the field is a whole number"])
    bounds = spec[kind]
    number: Callable[[Any], bool] = _whole if "int" in kind else _finite
    if not (
        isinstance(bounds, list)
        and len(bounds) == 2
        and all(map(number, bounds))
        and 0 < bounds[1] - bounds[0] < math.inf
    ):
        raise ConfigError(
            [
                problem(
                    f"{where}.{kind}", bounds, f"[low, high] of {'whole ' if 'int' in kind else ''}numbers, low < high"
                )
            ]
        )
    low, high = bounds
    if kind.startswith("log_") and low <= 0:
        raise ConfigError([problem(f"{where}.{kind}", bounds, "bounds above 0 on a logarithmic scale")])
    return low, high, _step(spec, kind, low, high, where)


def _step(spec: Mapping[str, Any], kind: str, low: float, high: float, where: str) -> float | None:
    if "step" not in spec:
        return None
    step = spec["step"]
    if kind.startswith("log_"):
        raise ConfigError([problem(f"{where}.step", step, "only with uniform or int")])
    fits = (_whole(step) if kind == "int" else _finite(step)) and step > 0
    steps = (high - low) / step if fits else 0.0
    if not 1 <= steps < MAX_STEPS or abs(steps - round(steps)) > 1e-6:
        raise ConfigError([problem(f"{where}.step", step, f"a divisor of high - low, {high - low:g}")])
    return float(step) if kind == "uniform" else int(step)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _condition(when: Any, where: str) -> dict[str, tuple[Any, ...] | str]:
    """A dimension's own `when`: {path: [values]}."""
    if not isinstance(when, Mapping):
        raise ConfigError([problem(f"{where}.when", when, "a mapping of paths to lists of values")])
    parsed: dict[str, tuple[Any, ...] | str] = {}
    for path, values in when.items():
        if path not in knobs():
            raise ConfigError([f"{where}.when.{path}: unknown field{nearest(str(path), knobs())}"])
        if not isinstance(values, list) or not values:
            raise ConfigError([problem(f"{where}.when.{path}", values, "a list of values")])
        parsed[path] = tuple(values)
    return parsed


def _with_schema(own: Condition, knob: Knob, where: str) -> tuple[Condition, tuple[str, ...]]:
    """A dimension's condition, narrowed by what the schema says of the field; and the paths it added."""
    when = dict(own)
    for path, allowed in knob.when.items():
        live = allowed if isinstance(allowed, str) else tuple(allowed)
        if path not in when:
            when[path] = live
            continue
        narrowed = tuple(value for value in when[path] if holds(value, live))
        if not narrowed:
            words = in_words(live, shown).removeprefix("is ")
            raise ConfigError(
                [problem(f"{where}.when.{path}", list(when[path]), f"{words}, or the field does nothing")]
            )
        when[path] = narrowed
    return when, tuple(path for path in knob.when if path not in own)


def _ordered(dimensions: list[Dimension], source: str) -> tuple[Dimension, ...]:
    """The dimensions in the file's order, but each after those that its condition reads."""
    waiting = list(dimensions)
    done: list[Dimension] = []
    while waiting:
        left = {dimension.path for dimension in waiting}
        ready = next((d for d in waiting if not left & set(d.when)), None)
        if ready is None:
            circle = ", ".join(sorted(left))
            raise ConfigError([f"space: the conditions of {circle} wait for each other; allowed no circle ({source})"])
        waiting.remove(ready)
        done.append(ready)
    return tuple(done)


def _check_live(space: Space, source: str) -> None:
    """Refuse a dimension that no configuration of the space makes live."""
    problems = []
    for dimension in space.dimensions:
        if space.example(dimension) is not None:
            continue
        conditions = " and ".join(f"{path} {in_words(allowed, shown)}" for path, allowed in dimension.when.items())
        problems.append(f"space.{dimension.path}: never acts; base and space never give {conditions} ({source})")
    if problems:
        raise ConfigError(problems)


def _settled(dimension: Dimension, searched: tuple[str, ...]) -> Dimension:
    """The dimension without the conditions that the base meets once and for all."""
    when = {path: allowed for path, allowed in dimension.when.items() if path in searched}
    return replace(dimension, when=when, automatic=tuple(path for path in dimension.automatic if path in when))


def _check_values(space: Space, config_of: ConfigOf, source: str) -> None:
    """Try every choice and both bounds of every dimension on the base."""
    problems: list[str] = []
    for dimension in space.dimensions:
        given = space.example(dimension) or {}
        for value in dimension.samples():
            try:
                config_of({**given, dimension.path: value})
            except ConfigError as error:
                problems += [
                    f"space.{line}"
                    if line.startswith(dimension.path)
                    else f"space.{dimension.path}: {shown(value)} cannot be: {line}"
                    for line in error.problems
                ]
    if problems:
        raise ConfigError(dict.fromkeys(problems))


def _check_pairs(space: Space, config_of: ConfigOf, source: str) -> None:
    """Try every pair of choices and bounds of two dimensions: some fields constrain each other."""
    for one, two in itertools.combinations(space.dimensions, 2):
        given = {**(space.example(one) or {}), **(space.example(two) or {})}
        for first, second in itertools.product(one.samples(), two.samples()):
            assigned = {**given, one.path: first, two.path: second}
            if space.active(assigned) != {path: assigned[path] for path in space.paths if path in assigned}:
                continue
            try:
                config_of(assigned)
            except ConfigError as error:
                pair = f"{one.path} {shown(first)} with {two.path} {shown(second)}"
                raise ConfigError([f"space: {pair} cannot be: {line}" for line in error.problems]) from None
