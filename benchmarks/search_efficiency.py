"""How many epochs does early stopping save a search? Learning curves with a known optimum, paired seeds.

    python -m benchmarks.search_efficiency [--seeds 20] [--search NAME]
        [--curves experiments/grid_cifar10/curves.json [--random 24]]

With `--curves` the curves are those that real trials left (benchmarks/landscapes.py makes the file); else they are
simulated:

A configuration is a point in a cube of four settings. Its final score is a tilted bowl with the best, 0.8, at a known
point; its curve rises to it with a rate of its own. In `alike` all rates are equal: rungs order trials as the end
does, but for the noise. In `crossing` settings beyond the optimum learn faster and end lower: curves cross.

Random search runs 64 configurations to the end (of a file of curves: half of them). Every other search runs until its
winner is as good as random search's, both by their true scores, or has spent as many epochs. The ratio is of epochs.
Everything runs through the Conductor, its records and the Optuna study as a real search does; only the training is
simulated, or looked up.
"""

import argparse
import functools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.landscapes import Landscape, recorded, words
from hjepa.overrides import yaml12
from hjepa.runtime.files import write_json
from hjepa.search.conductor import Conductor
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.sampler import StudySampler
from hjepa.search.study import Study

EPOCHS, CONFIGURATIONS, WORKERS, NOISE = 27, 64, 4, 0.004
FLOOR, BEST = 0.1, 0.8
RUNG, FULL = "probe_rung.top1", "probe.top1"
#: Setting -> its range and its value at the optimum (0 to 1 along the range), all on a linear scale.
CUBE = {
    "optim.weight_decay": (0.0, 0.5, 0.62),
    "optim.clip_norm": (0.5, 4.5, 0.35),
    "ema.start": (0.9, 0.999, 0.7),
    "views.color_jitter": (0.0, 0.8, 0.5),
}
WEIGHTS = np.array([1.6, 1.0, 0.6, 0.2])
ASHA = {"type": "asha", "grace": 0.1, "reduction": 3, "min_trials": 4}
#: The searches: their sampler and scheduler.
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "random, to the end": ("random", {"type": "none"}),
    "TPE, to the end": ("tpe", {"type": "none"}),
    "TPE + ASHA, stopping": ("tpe", ASHA),
    "TPE + ASHA, promotion": ("tpe", {**ASHA, "variant": "promotion"}),
    "TPE + ASHA, patience 2": ("tpe", {**ASHA, "patience": 2}),
    "TPE + hyperband": ("tpe", {**ASHA, "type": "hyperband"}),
    "TPE + median": ("tpe", {"type": "median"}),
}
RANDOM = "random, to the end"


@dataclass(frozen=True)
class Searched:
    """What a search found: `winners` are (epochs spent, true score of the winner so far), as they changed."""

    winners: Sequence[tuple[int, float]]
    epochs: int

    def until(self, target: float) -> int | None:
        """Epochs until the winner was truly as good as `target`; None: never."""
        return next((spent for spent, score in self.winners if score >= target), None)


def place(overrides: Mapping[str, Any]) -> np.ndarray:
    """Where a configuration lies in the cube; the baseline, without overrides, in a far corner."""
    return np.array([(overrides.get(path, low) - low) / (high - low) for path, (low, high, _) in CUBE.items()])


def final_score(point: np.ndarray) -> float:
    """The true score at full budget: a bowl, tilted between the first two settings."""
    off = point - np.array([best for _, _, best in CUBE.values()])
    return float(max(FLOOR, BEST - 0.6 * (WEIGHTS * off**2).sum() - 0.5 * off[0] * off[1]))


def curve(point: np.ndarray, landscape: str) -> np.ndarray:
    """The true scores after epochs 1 to EPOCHS [EPOCHS]."""
    lean = point[0] - CUBE["optim.weight_decay"][2]
    rate = 4.0 * (np.exp(2.2 * lean) if landscape == "crossing" else 1.0)
    risen = (1 - np.exp(-rate * np.arange(1, EPOCHS + 1) / EPOCHS)) / (1 - np.exp(-rate))
    return np.asarray(FLOOR + (final_score(point) - FLOOR) * risen)


def _simulated(name: str) -> Landscape:
    """Curves of the cube, as a hold-out of 5,000 images would show them."""

    def observed(overrides: Mapping[str, Any], index: int, seed: int) -> np.ndarray:
        noise = np.random.default_rng([seed, index]).standard_normal(EPOCHS)
        return curve(place(overrides), name) + NOISE * noise

    base = {path: low for path, (low, _, _) in CUBE.items()} | {"views.augmentation": "three_augment"}
    tree = {"base": base, "space": {path: {"uniform": [low, high]} for path, (low, high, _) in CUBE.items()}}
    return Landscape(
        name, EPOCHS, CONFIGURATIONS, tree, observed, lambda overrides: final_score(place(overrides)), startup=10
    )


LANDSCAPES = {name: _simulated(name) for name in ("alike", "crossing")}


def search(
    arm: str, landscape: Landscape, seed: int, *, target: float | None = None, epochs: int | None = None
) -> Searched:
    """Run a search on four simulated workers until `target` is reached or `epochs` are spent, if given."""
    many = 1 if target is None else 6
    with tempfile.TemporaryDirectory() as folder:
        conductor = _conductor(Path(folder), arm, landscape, seed, trials=many * landscape.configurations)
        running: list[TrialRecord] = []
        at: dict[str, int] = {}
        spent, winners, best = 0, list[tuple[int, float]](), -np.inf
        while True:
            running += _begin(conductor, WORKERS - len(running))
            if not running:
                break
            for trial in list(running):
                spent += 1
                epoch = at[trial.id] = at.get(trial.id, 0) + 1
                value = float(landscape.observed(trial.overrides, trial.index, seed)[epoch - 1])
                last = epoch == landscape.epochs
                if _report(conductor, trial, epoch, value, last=last):
                    continue
                running.remove(trial)
                if last and value > best:
                    best = value
                    winners.append((spent, landscape.final(trial.overrides)))
            reached = target is not None and any(score >= target for _, score in winners)
            if reached or (epochs is not None and spent >= epochs):
                break
    return Searched(winners, spent)


def _conductor(folder: Path, arm: str, landscape: Landscape, seed: int, trials: int) -> Conductor:
    sampler, scheduler = ARMS[arm]
    tree = {
        "study": "simulated",
        **landscape.tree,
        "budget": {"epochs": landscape.epochs, "trials": trials},
        "sampler": {"type": sampler, "seed": seed},
        "scheduler": scheduler,
    }
    (folder / "study.yaml").write_text(yaml12.dump(tree))
    study = Study.load(folder / "study.yaml")
    records = StudyRecords.create_or_open(folder / "study", study, "simulated")
    # As many random configurations at first in every search, however many it might run.
    proposer = StudySampler(study.space, study.spec.sampler, trials=3 * landscape.startup, journal=folder / "journal")
    return Conductor(study, records, proposer, fingerprint=lambda config: "simulated", check=lambda config: None)


def _begin(conductor: Conductor, free: int) -> Iterator[TrialRecord]:
    for _ in range(free):
        trial = conductor.next_trial()
        if trial is None:
            return
        conductor.started(trial.id)
        yield trial


def _report(conductor: Conductor, trial: TrialRecord, epoch: int, value: float, *, last: bool) -> bool:
    """Report an epoch as a real trial does; False: the trial is executed no further."""
    folder = conductor.records.folder(trial.id)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "rung", "step": epoch, "epoch": epoch, RUNG: value}) + "\n")
    if last:
        metrics = {RUNG: value, FULL: value}
        write_json(folder / "result.json", {"state": "completed", "reason": None, "epoch": epoch, "metrics": metrics})
    reason = conductor.reported(trial.id, {"epoch": epoch, RUNG: value})
    if reason is None and not last:
        return True
    conductor.ended(trial.id)
    return False


@functools.cache
def reference(landscape: str, seed: int) -> Searched:
    """Random search over simulated curves; its trials run to the end, and end the same in both landscapes."""
    return search(RANDOM, LANDSCAPES[landscape], seed)


def reaches(arm: str, landscape: str, seed: int, share: float) -> bool:
    """Whether a search is as good as random search at its end within this share of its epochs."""
    known = reference("alike", seed)
    target, epochs = known.winners[-1][1], int(share * known.epochs)
    needed = search(arm, LANDSCAPES[landscape], seed, target=target, epochs=epochs).until(target)
    return needed is not None and needed <= epochs


def ratios(landscape: Landscape, seeds: Sequence[int], arms: Sequence[str]) -> dict[str, list[float]]:
    """Per arm and seed: epochs until it was as good as random search at its end, over random search's epochs.

    1.0 where it never was within as many.
    """
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for seed in seeds:
        known = reference("alike", seed) if landscape.name in LANDSCAPES else search(RANDOM, landscape, seed)
        target = known.winners[-1][1]
        for arm in arms:
            again = known if arm == RANDOM else search(arm, landscape, seed, target=target, epochs=known.epochs)
            needed = again.until(target)
            found[arm].append(1.0 if needed is None else min(1.0, needed / known.epochs))
    return found


def agreement(landscape: str, epoch: int) -> float:
    """Spearman's correlation, over the cube, of true scores after an epoch and at the end."""
    points = np.random.default_rng(0).random((2_000, len(CUBE)))
    curves = np.array([curve(point, landscape) for point in points])
    return float(stats.spearmanr(curves[:, epoch - 1], curves[:, -1]).statistic)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median."""
    found = stats.bootstrap((np.array(values),), np.median, method="percentile", rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--search", default="", help="only the searches whose name holds this")
    parser.add_argument("--random", type=int, help="configurations of random search on the curves of a file")
    parser.add_argument("--curves", type=Path, help="curves of real trials, in place of simulated ones")
    given = parser.parse_args()
    seeds = range(given.seeds)
    landscapes = [recorded(given.curves, given.random)] if given.curves else list(LANDSCAPES.values())
    first = landscapes[0]
    print(f"epochs to be as good as random search after {first.configurations} x {first.epochs}, as a ratio, ", end="")
    print(f"{len(seeds)} seeds")
    print(f"{'curves':12} {'search':24} {'median':>7} {'95 %':>13} {'worst':>6} {'never':>6}")
    for landscape in landscapes:
        for arm, found in ratios(landscape, seeds, [arm for arm in ARMS if given.search in arm]).items():
            low, high = interval(found) if len(set(found)) > 1 else (found[0], found[0])
            never = sum(value >= 1.0 for value in found) if arm != RANDOM else 0
            line = f"{np.median(found):7.2f} {low:6.2f}-{high:5.2f} {max(found):7.2f} {never:6}"
            print(f"{landscape.name:12} {arm:24} {line}", flush=True)
    for name in () if given.curves else LANDSCAPES:
        kept = ", ".join(f"{agreement(name, epoch):.2f} at epoch {epoch}" for epoch in (3, 9))
        print(f"{name:12} rank correlation of a rung with the end: {kept}")
    if given.curves:
        print(words(given.curves))


if __name__ == "__main__":
    main()
