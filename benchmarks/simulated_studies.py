"""Simulated studies whose truth is known: does the statistics of ablations keep its promises?

Printed by statistics.py beside this file.

A study is a recipe with `rows` cells that each lack one technique, over the same seeds. A score is
accuracy + seed + trial noise, as a hold-out of 5,000 images counts it. The noise of trials is normal, heavy
(Student's t with 5 degrees of freedom, the same in all cells) or uneven (the cells without a technique vary
twice as much, and downwards: an exponential tail). Everything runs through `hjepa.search`.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hjepa.search.ablation.effects import BCA_COVERAGE, bca, paired_t
from hjepa.search.ablation.statistics import holm

Array = NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Array]

IMAGES, ACCURACY = 5_000, 0.6
SEED_SD, TRIAL_SD = 0.004, 0.003
ROWS, SEEDS, STUDIES = 5, 8, 2_000


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """The same noise in every cell."""
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Student's t with 5 degrees of freedom, of variance 1."""
    return rng.standard_t(5, shape) / math.sqrt(5 / 3)


def uneven(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Normal in the full recipe (cell 0); twice the variance, half of it as bad luck, in the others."""
    noise = rng.standard_normal(shape)
    noise[:, 1:] += 1.0 - rng.exponential(size=noise[:, 1:].shape)
    return noise


NOISES: dict[str, Noise] = {"normal": normal, "heavy": heavy, "uneven": uneven}


def differences(studies: int, noise: str, effect: float, *, seeds: int = SEEDS, seed: int = 0) -> Array:
    """Paired differences [studies, rows, seeds], full recipe minus cell.

    The first row's technique is worth `effect` standard deviations of its own paired difference, the others nothing.
    """
    rng = np.random.default_rng(seed)
    shape = (studies, ROWS + 1, seeds)
    scores = ACCURACY + SEED_SD * rng.standard_normal((studies, 1, seeds)) + TRIAL_SD * NOISES[noise](rng, shape)
    scores[:, 1] -= effect * difference_sd(noise)
    counted = np.round(scores * IMAGES) / IMAGES
    return counted[:, :1] - counted[:, 1:]


def difference_sd(noise: str) -> float:
    """The standard deviation of a paired difference: the seeds' part is gone."""
    return TRIAL_SD * math.sqrt(3.0 if noise == "uneven" else 2.0)


def significant(values: Array, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Which rows [studies, rows] are called significant, Holm over each study."""
    return holm(paired_t(values)[0]) <= alpha


def false_alarms(studies: int = STUDIES, noise: str = "heavy") -> float:
    """A/A: the share of studies with any significant row where no technique does anything."""
    return float(significant(differences(studies, noise, 0.0)).any(axis=1).mean())


def found(studies: int = STUDIES, noise: str = "heavy", effect: float = 2.0) -> float:
    """The share of studies that call the first row's effect significant."""
    return float(significant(differences(studies, noise, effect))[:, 0].mean())


def coverage(studies: int = STUDIES, noise: str = "heavy", effect: float = 2.0) -> float:
    """The share of all t intervals that hold their row's true effect."""
    truth = np.zeros(ROWS)
    truth[0] = effect * difference_sd(noise)
    _, low, high = paired_t(differences(studies, noise, effect))
    return float(((low <= truth) & (truth <= high)).mean())


def bca_coverage(seeds: int, studies: int = STUDIES, resamples: int = 1_999) -> float:
    """The share of BCa intervals of normal differences that hold the true mean."""
    values = np.random.default_rng(seeds).standard_normal((studies, seeds))
    low, high = bca(values, resamples)
    return float(((low <= 0.0) & (high >= 0.0)).mean())


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=STUDIES)
    studies = parser.parse_args().studies
    print(f"{studies} studies of {ROWS} rows and {SEEDS} seeds; shares in %, +/- twice their standard error")
    print(f"{'noise':8} {'A/A: any false *':>18} {'2 sd found':>14} {'t interval covers':>18}")

    def share(value: float, count: int) -> str:
        return f"{100 * value:.1f} +/- {200 * math.sqrt(value * (1 - value) / count):.1f}"

    for noise in NOISES:
        alarms, hits, covered = false_alarms(studies, noise), found(studies, noise), coverage(studies, noise)
        # Rows of a study share its recipe: counted as one for the standard error.
        print(f"{noise:8} {share(alarms, studies):>18} {share(hits, studies):>14} {share(covered, studies):>18}")
    print("BCa intervals of normal differences that hold the truth (nominal 95 %)")
    for seeds, stated in BCA_COVERAGE.items():
        print(f"{seeds:3} seeds {share(bca_coverage(seeds, studies), studies):>14}   stated {100 * stated:.0f}")
