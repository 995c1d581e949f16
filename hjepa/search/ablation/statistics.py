"""A table of effects with one correction over it, and what the pairing of seeds was worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load at their first use
from numpy.typing import ArrayLike, NDArray

from hjepa.search.ablation.effects import ALPHA, Effect, Interval


@dataclass(frozen=True)
class Row:
    """One line of a table. `p` is corrected over the table; None, like `significant`, where there is no test.

    `p_equivalent` is corrected over the table's equivalence tests. `words` is the conclusion, never without
    its reasons to doubt; `tests` is the number of comparisons corrected for.
    """

    effect: Effect
    p: float | None
    significant: bool | None
    p_equivalent: float | None
    equivalent: bool | None
    tests: int
    words: str

    @property
    def star(self) -> str:
        """`*` for a significant effect, else nothing."""
        return "*" if self.significant else ""


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p values corrected over the last axis, so that any false rejection there has at most the level's chance.

    Source: Holm (1979). Not statsmodels' `multipletests`, to which it is equal (tested): that one takes a table at
    a time and collects garbage at each call, which makes thousands of simulated studies take minutes.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * np.arange(p.shape[-1], 0, -1)
    corrected = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    found = np.empty_like(p)
    np.put_along_axis(found, order, corrected, axis=-1)
    return found


def table(effects: Sequence[Effect], alpha: float = ALPHA) -> list[Row]:
    """Rows in the order given, Holm's correction over all that could be tested."""
    corrected = _corrected([effect.p for effect in effects])
    equal = _corrected([None if effect.equivalence is None else effect.equivalence.p for effect in effects])
    tests = sum(p is not None for p in corrected)
    return [_row(effect, p, same, tests, alpha) for effect, p, same in zip(effects, corrected, equal, strict=True)]


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction over the tests that there are."""
    there = [number for number, p in enumerate(p_values) if p is not None]
    found: list[float | None] = [None] * len(p_values)
    for number, p in zip(there, holm([p for p in p_values if p is not None]).tolist(), strict=True):
        found[number] = p
    return found


def _row(effect: Effect, p: float | None, p_equivalent: float | None, tests: int, alpha: float) -> Row:
    significant = None if p is None else p <= alpha
    equivalent = None if p_equivalent is None else p_equivalent <= alpha
    words = _words(effect, significant, equivalent)
    return Row(effect, p, significant, p_equivalent, equivalent, tests, words)


def _words(effect: Effect, significant: bool | None, equivalent: bool | None) -> str:
    """The conclusion: "no difference shown" is not "no effect"; only an equivalence test says that."""
    if effect.cannot is not None or effect.mean is None:
        said = effect.cannot or "nothing can be said"
    else:
        said = "no difference shown"
        if significant:
            said = "higher with it" if effect.mean > 0 else "lower with it"
        if equivalent and effect.equivalence is not None:
            margin = f"{effect.equivalence.margin:g}"
            said = f"{said}, but within ±{margin}" if significant else f"no effect beyond ±{margin}"
    return said if effect.caution is None else f"{said}; {effect.caution}"


@dataclass(frozen=True)
class Pairing:
    """The standard error of a difference with paired seeds over that with unpaired ones: below 1, pairing helped.

    `ratio` and `interval` are None where `cannot` says why.
    """

    cells: int
    seeds: tuple[int, ...]
    ratio: float | None = None
    interval: Interval | None = None
    cannot: str | None = None


def pairing(cells: Mapping[str, Mapping[int, float]], alpha: float = ALPHA) -> Pairing:
    """What pairing was worth over cells {name: {seed: score}}, on the seeds that all of them have.

    The two-way layout score = cell + seed + error: paired differences have variance 2 e, unpaired ones
    2 (s + e), so ratio² = e / (s + e) = k / (F + k - 1) with k cells and F the mean square of seeds over that
    of the error; the F distribution gives an exact interval (the complement of Shrout and Fleiss 1979,
    ICC(3,1)). For two cells ratio² is the variance of the differences over the sum of the cells' variances.
    """
    common = sorted(set.intersection(*(set(scores) for scores in cells.values()))) if cells else []
    names, seeds = len(cells), tuple(common)
    if names < 2 or len(seeds) < 2:
        return Pairing(names, seeds, cannot="needs two cells with two common seeds: nothing can be said")
    scores = np.array([[cell[seed] for seed in seeds] for cell in cells.values()])
    by_seed = scores.mean(axis=0)
    rest = scores - scores.mean(axis=1, keepdims=True) - by_seed + scores.mean()
    freedom = (len(seeds) - 1, (names - 1) * (len(seeds) - 1))
    between = names * float(((by_seed - scores.mean()) ** 2).sum()) / freedom[0]
    within = float((rest**2).sum()) / freedom[1]
    if within <= (1e-12 * float(np.abs(scores).max())) ** 2:
        return Pairing(names, seeds, cannot="the differences do not vary over seeds: nothing can be said")
    observed = between / within
    low, high = (observed / float(scipy.stats.f.isf(tail, *freedom)) for tail in (1.0 - alpha / 2.0, alpha / 2.0))

    def ratio(quotient: float) -> float:
        return math.sqrt(names / (quotient + names - 1))

    return Pairing(names, seeds, ratio(observed), Interval(ratio(low), ratio(high), 1.0 - alpha))
