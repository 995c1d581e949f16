"""Main effects and two-way interactions of a two-level factorial design, full or fractional.

The model is score = seed block + sum over terms of coefficient x (product of the factors' codes), codes
-1 (without) and +1 (with), by ordinary least squares (statsmodels). An effect is twice its coefficient: the
mean score with minus the mean score without; an interaction is half the difference between a factor's effect
with the other and without it (Box, Hunter and Hunter 2005). Terms that the cells cannot tell apart are
aliases: one is estimated in the name of all.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hjepa.search.ablation.effects import ALPHA, Interval, Missing
from hjepa.search.ablation.statistics import holm

Codes = Mapping[str, int]
Columns = dict[tuple[str, ...], NDArray[np.float64]]


@dataclass(frozen=True)
class Term:
    """A main effect (one factor) or an interaction. `p` is the t test's, `p_holm` corrected over all terms.

    `aliases` are the terms of at most three factors confounded with it, each with its sign: the estimate is
    this effect plus or minus theirs. Values are None where `cannot` says why.
    """

    factors: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    effect: float | None = None
    interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    significant: bool | None = None
    cannot: str | None = None

    @property
    def name(self) -> str:
        """`a`, or `a:b` for an interaction."""
        return ":".join(self.factors)


@dataclass(frozen=True)
class Factorial:
    """All terms; `residual_sd` and `freedom` of the error; `missing` scores, and what to keep in mind (`notes`)."""

    terms: tuple[Term, ...]
    residual_sd: float | None
    freedom: int
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


def factorial(
    cells: Mapping[str, Codes],
    scores: Mapping[str, Mapping[int, float]],
    missing: Mapping[str, Mapping[int, str]] | None = None,
    alpha: float = ALPHA,
) -> Factorial:
    """Effects from the cells' codes {cell: {factor: -1 or 1}} and their scores {cell: {seed: score}}.

    `missing` is {cell: {seed: state}} of trials without a score. Raises ValueError for a code that is
    neither -1 nor 1, or cells over different factors.
    """
    factors = _factors(cells)
    lost = missing or {}
    gaps = tuple(Missing(seed, cell, state) for cell in cells for seed, state in sorted(lost.get(cell, {}).items()))
    runs = [
        (cell, seed, score)
        for cell in cells
        for seed, score in sorted(scores.get(cell, {}).items())
        if np.isfinite(score) and seed not in lost.get(cell, {})
    ]
    seeds = sorted({seed for _, seed, _ in runs})
    measured = {cell: cells[cell] for cell, _, _ in runs}
    terms = _terms(factors, list(measured.values()))
    notes = _notes(gaps, len(seeds), terms)
    estimable = [term for term in terms if term.cannot is None]
    if not estimable:
        return Factorial(tuple(terms), None, 0, gaps, notes)
    y = np.array([score for _, _, score in runs])
    columns = [_product(term.factors, [cells[cell] for cell, _, _ in runs]) for term in estimable]
    blocks = [np.array([float(seed == block) for _, seed, _ in runs]) for block in seeds]
    design = np.column_stack([*blocks, *columns])
    freedom = len(y) - int(np.linalg.matrix_rank(design))
    if np.linalg.matrix_rank(design) < design.shape[1]:
        why = "the trials that have a score cannot tell the terms and seeds apart"
        return Factorial(tuple(replace(term, cannot=term.cannot or why) for term in terms), None, freedom, gaps, notes)
    fitted = _fit(design, y, estimable, freedom, alpha)
    found = {term.factors: term for term in fitted.terms}
    return replace(fitted, terms=tuple(found.get(term.factors, term) for term in terms), missing=gaps, notes=notes)


def _factors(cells: Mapping[str, Codes]) -> list[str]:
    factors = list(next(iter(cells.values()), {}))
    for cell, codes in cells.items():
        if set(codes) != set(factors):
            raise ValueError(f"{cell}: got factors {sorted(codes)}; allowed {sorted(factors)}, as in the first cell")
        for factor, code in codes.items():
            if code not in (-1, 1):
                raise ValueError(f"{cell}: {factor}: got {code}; allowed -1, 1")
    return factors


def _product(factors: Sequence[str], codes: Sequence[Codes]) -> NDArray[np.float64]:
    """The column of a term: the product of its factors' codes, over the cells."""
    table = np.array([[code[factor] for factor in factors] for code in codes], dtype=np.float64)
    return np.asarray(table.prod(axis=1))


def _terms(factors: Sequence[str], codes: Sequence[Codes], order: int = 2, depth: int = 3) -> list[Term]:
    """Terms of at most `order` factors, those that the cells cannot estimate with the reason.

    Of terms of at most `depth` factors that equal ± one another, the first (fewest factors, then in the factors' order)
    stands for all; the others are its aliases.
    """
    if not codes:
        sizes = range(1, min(order, len(factors)) + 1)
        names_of = itertools.chain.from_iterable(itertools.combinations(factors, size) for size in sizes)
        return [Term(names, cannot="no trial has a score") for names in names_of]
    columns: Columns = {
        names: _product(names, codes)
        for size in range(1, min(depth, len(factors)) + 1)
        for names in itertools.combinations(factors, size)
    }
    found: dict[tuple[str, ...], list[str]] = {}
    spanned = [np.ones(len(codes))]
    terms: list[Term] = []
    for names, column in columns.items():
        twin = next((first for first in found if abs(column @ columns[first]) == len(codes)), None)
        if twin is not None:
            found[twin].append(("" if column @ columns[twin] > 0 else "-") + ":".join(names))
        elif len(names) <= order:
            found[names] = []
            cannot = _inestimable(column, spanned)
            if cannot is None:
                spanned.append(column)
            terms.append(Term(names, cannot=cannot))
    return [replace(term, aliases=tuple(found[term.factors])) for term in terms]


def _inestimable(column: NDArray[np.float64], spanned: Sequence[NDArray[np.float64]]) -> str | None:
    if abs(column.sum()) == len(column):
        return "the same in all cells that have a score: it cannot be estimated"
    if np.linalg.matrix_rank(np.column_stack([*spanned, column])) <= len(spanned):
        return "a mixture of the terms before it in these cells: it cannot be estimated"
    return None


def _fit(
    design: NDArray[np.float64], y: NDArray[np.float64], terms: Sequence[Term], freedom: int, alpha: float
) -> Factorial:
    """Least squares; the terms are the last columns of the design."""
    from statsmodels.regression.linear_model import OLS  # noqa: PLC0415 - half a second that only a factorial design needs

    fit = OLS(y, design).fit()
    estimates = 2.0 * fit.params[-len(terms) :]
    sd = float(np.sqrt(fit.ssr / freedom)) if freedom else None
    if sd is None or sd <= 1e-12 * float(np.abs(y).max()):
        why = "no trial is left to measure the error by" if sd is None else "the scores do not vary beyond the model"
        known = tuple(
            replace(term, effect=float(estimate), cannot=f"{why}: no test")
            for term, estimate in zip(terms, estimates, strict=True)
        )
        return Factorial(known, sd, freedom, (), ())
    limits = 2.0 * fit.conf_int(alpha)[-len(terms) :]
    p_values = [float(p) for p in fit.pvalues[-len(terms) :]]
    corrected = holm(p_values).tolist()
    return Factorial(
        tuple(
            replace(
                term,
                effect=float(estimates[number]),
                interval=Interval(float(limits[number][0]), float(limits[number][1]), 1.0 - alpha),
                p=p_values[number],
                p_holm=corrected[number],
                significant=corrected[number] <= alpha,
            )
            for number, term in enumerate(terms)
        ),
        sd,
        freedom,
        (),
        (),
    )


def _notes(gaps: Sequence[Missing], seeds: int, terms: Sequence[Term]) -> tuple[str, ...]:
    notes: list[str] = []
    if gaps:
        lost = "; ".join(f"{gap.side} seed {gap.seed}: {gap.state}" for gap in gaps)
        notes.append(f"trials without a score are not in it ({lost}): aliases and balance are of those that have one")
    if seeds == 1:
        notes.append("one seed: the error is measured by interactions that are taken to be zero")
    if any(term.aliases for term in terms):
        notes.append("an aliased estimate is the sum of its effect and, with their signs, its aliases'")
    return tuple(notes)
