"""What one factor is worth: differences of paired seeds, their mean, its interval and its tests.

An effect is the score with the factor minus the score without it, seed by seed: the same seed is the same
draw of data order, masks and initial weights in both. Primary are the paired t test and its interval; the
exact sign-flip test, Wilcoxon's and the BCa bootstrap stand beside them. What cannot be concluded is said
in words (`cannot`), and then there is no p value at all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy  # its parts load at their first use
from numpy.typing import NDArray

ALPHA = 0.05
#: BCa intervals of fewer differences are too short to be shown (see BCA_COVERAGE).
BCA_SEEDS = 10
#: Number of normal differences -> share of 95 % BCa intervals that held the truth (`benchmarks/statistics.py`).
BCA_COVERAGE: Mapping[int, float] = {5: 0.83, 10: 0.90, 15: 0.92, 20: 0.93, 30: 0.94}
#: Up to here all 2^n sign flips are counted.
_EXACT_SEEDS = 16
_FLIPS = 99_999
_RESAMPLES = 9_999
#: Resampled numbers in memory at a time.
_AT_ONCE = 2_000_000
#: Differences that vary by less than this share of the scores are one number with rounding errors.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """Limits that hold the truth with the stated confidence; `coverage`: what was measured of it, if it was."""

    low: float
    high: float
    confidence: float = 1.0 - ALPHA
    coverage: float | None = None


@dataclass(frozen=True)
class Missing:
    """A score that a pair lacks: which seed, which side (`with`, `without`), and how its trial ended."""

    seed: int
    side: str
    state: str

    def __str__(self) -> str:
        """As the report says it."""
        return f"seed {self.seed} {self.side}: {self.state}"


@dataclass(frozen=True)
class SignFlip:
    """The test of symmetry about 0, two-sided, by all 2^n flips of n non-zero differences (`exact`), or by a sample.

    No p value of so many seeds can lie below `floor`, 2 / 2^n: below 6 seeds none reaches 0.05.
    """

    p: float
    floor: float
    exact: bool


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t tests (Schuirmann 1987): a small p says that the effect lies within ± margin."""

    margin: float
    p: float


@dataclass(frozen=True)
class Effect:
    """One comparison. `differences[i]` is with minus without at `seeds[i]`; fields that cannot be known are None.

    `cannot` says why there are no tests; `missing` lists the scores without which pairs were left out.
    """

    name: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    missing: tuple[Missing, ...] = ()
    cannot: str | None = None
    mean: float | None = None
    sd: float | None = None
    standard_error: float | None = None
    interval: Interval | None = None
    p: float | None = None
    sign_flip: SignFlip | None = None
    wilcoxon: float | None = None
    bootstrap: Interval | None = None
    equivalence: Equivalence | None = None

    @property
    def caution(self) -> str | None:
        """What the missing scores mean for the conclusion; None when every pair is there."""
        if not self.missing:
            return None
        lost = "; ".join(map(str, self.missing))
        return f"only of the {len(self.seeds)} seeds with both scores ({lost}): trials that end badly are not in it"


def effect(
    name: str,
    with_scores: Mapping[int, float],
    without_scores: Mapping[int, float],
    *,
    with_missing: Mapping[int, str] | None = None,
    without_missing: Mapping[int, str] | None = None,
    margin: float | None = None,
) -> Effect:
    """A factor's effect from {seed: score} of the cell that has it and of the cell that has it not.

    `*_missing` is {seed: state} of trials without a score. `margin`, in the scores' unit, asks for the
    equivalence test. A score that is not finite is a missing one. Source of the tests: scipy.stats.
    """
    if margin is not None and not margin > 0:
        raise ValueError(f"margin: got {margin}; allowed above 0")
    sides = {"with": (with_scores, with_missing or {}), "without": (without_scores, without_missing or {})}
    asked = sorted({seed for scores, states in sides.values() for seed in (*scores, *states)})
    missing = tuple(
        Missing(seed, side, _why(seed, scores, states))
        for seed in asked
        for side, (scores, states) in sides.items()
        if not math.isfinite(scores.get(seed, math.nan))
    )
    lost = {gap.seed for gap in missing}
    seeds = tuple(seed for seed in asked if seed not in lost)
    values = np.array([with_scores[seed] - without_scores[seed] for seed in seeds], dtype=np.float64)
    size = max((abs(scores[seed]) for scores in (with_scores, without_scores) for seed in seeds), default=0.0)
    found = Effect(name, seeds, tuple(values.tolist()), missing)
    if len(values):
        found = replace(found, mean=float(values.mean()))
    if len(values) > 1:
        sd = float(values.std(ddof=1))
        found = replace(found, sd=sd, standard_error=sd / math.sqrt(len(values)))
    cannot = _cannot(found, size)
    if cannot is not None:
        return replace(found, cannot=cannot)
    return _tested(found, values, margin)


def paired_t(differences: NDArray[np.float64], alpha: float = ALPHA) -> tuple[NDArray[np.float64], ...]:
    """The t test of a mean of 0 over the last axis, two-sided: p, low and high of the interval."""
    test = scipy.stats.ttest_1samp(differences, 0.0, axis=-1)
    limits = test.confidence_interval(1.0 - alpha)
    return np.asarray(test.pvalue), np.asarray(limits.low), np.asarray(limits.high)


def bca(differences: NDArray[np.float64], resamples: int = _RESAMPLES) -> tuple[NDArray[np.float64], ...]:
    """Low and high of the BCa bootstrap interval (Efron 1987) of the mean over the last axis; the draws are fixed."""
    found = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        axis=-1,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // differences.size),
        method="BCa",
        rng=np.random.default_rng(0),
    )
    return np.asarray(found.confidence_interval.low), np.asarray(found.confidence_interval.high)


def sign_flip(differences: NDArray[np.float64]) -> SignFlip:
    """The sign-flip test of n differences of the mean."""
    count = int(np.count_nonzero(differences))
    exact = len(differences) <= _EXACT_SEEDS
    test = scipy.stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        axis=-1,
        n_resamples=math.inf if exact else _FLIPS,
        rng=np.random.default_rng(0),
    )
    floor = 2.0 / 2.0**count if exact else max(2.0 / 2.0**count, 2.0 / (_FLIPS + 1))
    return SignFlip(float(test.pvalue), min(floor, 1.0), exact)


def _why(seed: int, scores: Mapping[int, float], states: Mapping[int, str]) -> str:
    if seed in states:
        return states[seed]
    return f"score {scores[seed]}" if seed in scores else "not run"


def _cannot(found: Effect, size: float) -> str | None:
    """Why differences cannot be tested, in words; `size`: the largest score among them."""
    if not found.seeds:
        return "no seed has both scores: nothing can be said"
    if found.sd is None:
        return "one seed: how much seeds differ is unknown, so nothing can be concluded"
    if found.sd > _ROUNDING * size:
        return None
    if max(map(abs, found.differences)) <= _ROUNDING * size:
        return "the two scores are equal at every seed: no variation to test against (did the factor act?)"
    return "the difference is the same at every seed: no variation to test against, so nothing can be concluded"


def _tested(found: Effect, values: NDArray[np.float64], margin: float | None) -> Effect:
    p, low, high = paired_t(values)
    shown = None
    if len(values) >= BCA_SEEDS:
        limits = bca(values)
        measured = BCA_COVERAGE[max(count for count in BCA_COVERAGE if count <= len(values))]
        shown = Interval(float(limits[0]), float(limits[1]), coverage=measured)
    return replace(
        found,
        interval=Interval(float(low), float(high)),
        p=float(p),
        sign_flip=sign_flip(values),
        wilcoxon=float(scipy.stats.wilcoxon(values).pvalue),
        bootstrap=shown,
        equivalence=None if margin is None else Equivalence(margin, _equivalence(values, margin)),
    )


def _equivalence(values: NDArray[np.float64], margin: float) -> float:
    """The larger p of the one-sided tests of mean > -margin and of mean < margin."""
    above = scipy.stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(values, margin, alternative="less").pvalue
    return float(max(above, below))
