"""Which searched fields a search's best scores depend on: PED-ANOVA, beside what scores without meaning would give.

Source: Watanabe et al. 2023 (arXiv 2304.10255), and its form for dimensions that exist only under a condition
(arXiv 2601.20800), both by Optuna. No random draw but the shuffles, which are fixed.
"""

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import create_trial

from hjepa.search.sampler import distribution, encoded, inside
from hjepa.search.space import Dimension, Space

#: The share of configurations that counts as the best.
BEST = 0.25
#: Configurations in which a dimension must exist.
FEWEST = 5
#: Most and fewest shuffles of the scores (as many as a second or so allows), and the share of them below `chance`.
SHUFFLES, FEW_SHUFFLES, LEVEL = 100, 20, 0.95
#: Configurations times shuffles.
_AT_MOST = 10_000
#: How near to an end of its range, as a share of it, a value lies at the bound.
EDGE = 0.05

Scores = NDArray[np.float64]
Point = tuple[Mapping[str, Any], float]


@dataclass(frozen=True)
class Importance:
    """A dimension's share of all importance, over the `configurations` in which it exists.

    `chance` is what 95 % of shuffles of the scores stay below, on the same scale. Of the `best` configurations in
    which it exists `best_low` and `best_high` lie at the bounds of a range. Values are None where `cannot` says why.
    """

    path: str
    configurations: int
    importance: float | None = None
    chance: float | None = None
    best: int | None = None
    best_low: int | None = None
    best_high: int | None = None
    cannot: str | None = None


def importances(space: Space, scored: Sequence[Point]) -> list[Importance]:
    """The dimensions of a space, the most important first, from (overrides, score); higher is better.

    Values that are not in their dimension (of a baseline outside the space) are left out. An importance is how
    far the best quarter's distribution over the dimension is from that of all configurations (Pearson divergence).
    """
    points = [({path: v for path, v in values.items() if inside(space[path], v)}, score) for values, score in scored]
    scores = np.array([score for _, score in points])
    found = [_counted(dimension, points, scores) for dimension in space.dimensions]
    known = [entry.path for entry in found if entry.cannot is None]
    if not known:
        return found
    study = _study(space, points)
    observed = _evaluated(study, known, scores)
    total = sum(observed.values())
    if total <= 0:
        why = "the best configurations lie where all lie"
        return [replace(entry, cannot=entry.cannot or why) for entry in found]
    rng = np.random.default_rng(0)
    shuffles = min(SHUFFLES, max(FEW_SHUFFLES, _AT_MOST // len(points)))
    shuffled = [_evaluated(study, known, rng.permutation(scores)) for _ in range(shuffles)]
    chance = {path: float(np.quantile([draw[path] for draw in shuffled], LEVEL)) for path in known}
    shares = [
        replace(entry, importance=observed[entry.path] / total, chance=chance[entry.path] / total)
        if entry.path in chance
        else entry
        for entry in found
    ]
    return sorted(shares, key=lambda entry: -math.inf if entry.importance is None else entry.importance, reverse=True)


def _counted(dimension: Dimension, points: Sequence[Point], scores: Scores) -> Importance:
    """A dimension without its importance: where it exists, and whether the best lie at its bounds."""
    path = dimension.path
    there = [number for number, (values, _) in enumerate(points) if path in values]
    entry = Importance(path, len(there))
    if len(there) < FEWEST:
        return replace(entry, cannot=f"it exists in {len(there)} of {len(points)}: at least {FEWEST} are needed")
    if len({str(points[number][0][path]) for number in there}) == 1:
        return replace(entry, cannot="it has one value in all of them")
    bar = np.sort(scores)[-math.ceil(BEST * len(scores))]
    best = [points[number][0][path] for number in there if scores[number] >= bar]
    entry = replace(entry, best=len(best))
    if dimension.kind == "choice":
        return entry
    ends = (dimension.low, float((dimension.values() or (dimension.high,))[-1]))
    low, high = (math.log(end) if dimension.log else end for end in ends)
    places = [((math.log(value) if dimension.log else value) - low) / (high - low) for value in best]
    return replace(
        entry,
        best_low=sum(place <= EDGE for place in places),
        best_high=sum(place >= 1.0 - EDGE for place in places),
    )


def _study(space: Space, points: Sequence[Point]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {dimension.path: distribution(dimension) for dimension in space.dimensions}
    for values, score in points:
        params = {path: encoded(space[path], value) for path, value in values.items()}
        study.add_trial(
            create_trial(params=params, distributions={path: distributions[path] for path in params}, value=score)
        )
    return study


def _evaluated(study: optuna.Study, paths: list[str], scores: Scores) -> dict[str, float]:
    """Optuna's importances of these dimensions, were these the trials' scores."""
    with warnings.catch_warnings():
        # It says that lower targets are better, and which dimensions exist nearly everywhere or nowhere.
        warnings.simplefilter("ignore", UserWarning)
        found: dict[str, float] = _evaluator().evaluate(study, paths, target=lambda trial: -float(scores[trial.number]))
        return found


def _evaluator() -> Any:
    """PED-ANOVA, without the forests of scikit-learn beside it: they take a second to load."""
    spared = "sklearn" not in sys.modules
    if spared:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # as Python says that it cannot be imported
    try:
        from optuna.importance import PedAnovaImportanceEvaluator  # noqa: PLC0415
    finally:
        if spared:
            del sys.modules["sklearn"]
    return PedAnovaImportanceEvaluator(target_quantile=BEST)
