"""What a search runs on in benchmarks/search_efficiency.py; made from the records of real trials, or simulated there.

    python -m benchmarks.landscapes runs/grid_cifar10 experiments/grid_cifar10/curves.json

writes the learning curves of a finished study whose trials all ran to the end.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from hjepa.config import rung_metric
from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study
from hjepa.search.trial_record import history


@dataclass(frozen=True)
class Landscape:
    """What a search runs on. Curves are of the metric at epochs 1 to `epochs`; `tree` is the study file's space."""

    name: str
    epochs: int
    configurations: int
    tree: Mapping[str, Any]
    #: (a trial's overrides, its number, seed of the noise) -> what it reports [epochs].
    observed: Callable[[Mapping[str, Any], int, int], np.ndarray]
    #: overrides -> the true score at full budget.
    final: Callable[[Mapping[str, Any]], float]
    #: Configurations drawn at random before TPE has an opinion.
    startup: int


def recorded(file: Path, configurations: int | None = None) -> Landscape:
    """The curves of real trials: those at rungs, and the full probe at the end.

    Random search runs so many `configurations`; half of them by default.
    """
    known = json.loads(file.read_text())
    curves = {_key(known, entry["settings"]): np.array(entry["curve"]) for entry in known["trials"]}

    def curve(overrides: Mapping[str, Any]) -> np.ndarray:
        return curves[_key(known, overrides)]

    tree = {"base": known["base"], "space": known["space"]}
    return Landscape(
        name=known["study"],
        epochs=known["epochs"],
        configurations=configurations or len(curves) // 2,
        tree=tree,
        observed=lambda overrides, index, seed: curve(overrides),
        final=lambda overrides: float(curve(overrides)[-1]),
        startup=4,
    )


def words(file: Path) -> str:
    """What the curves are: how scores spread, and how the order at a rung agrees with that at the end."""
    curves = np.array([entry["curve"] for entry in json.loads(file.read_text())["trials"]])
    spread = f"{len(curves)} trials, scores at the end {curves[:, -1].min():.4f} to {curves[:, -1].max():.4f}"
    rungs = [epoch for epoch in (1, 3) if epoch < curves.shape[1]]
    kept = [f"{stats.spearmanr(curves[:, epoch - 1], curves[:, -1]).statistic:.2f} at epoch {epoch}" for epoch in rungs]
    return f"{spread}; rank correlation of a rung with the end {', '.join(kept)}"


def tabled(records: StudyRecords) -> dict[str, Any]:
    """The curves of a study's trials as plain data. Raises ValueError where one did not run to its end."""
    study = Study.load(records.directory / "study.yaml")
    rung = rung_metric(records.metric)
    trials = []
    for trial in records.trials():
        if trial.duplicate_of is not None:
            continue
        scored = history(trial, rung)
        epochs = study.base.training.epochs
        if trial.state != "completed" or trial.score is None or sorted(scored) != list(range(1, epochs + 1)):
            raise ValueError(
                f"{trial.id}: {trial.state} with scores at epochs {sorted(scored)}; allowed all of {epochs}"
            )
        settings = {path: trial.overrides.get(path, study.space.base[path]) for path in study.space.paths}
        curve = [scored[epoch] for epoch in range(1, epochs)] + [trial.score]
        trials.append({"settings": settings, "curve": [round(value, 6) for value in curve]})
    space = {path: {"choice": _values(trials, path)} for path in study.space.paths}
    first = trials[0]["settings"]
    return {
        "study": study.spec.study,
        "epochs": len(trials[0]["curve"]),
        "base": first,
        "space": space,
        "trials": trials,
    }


def _values(trials: Sequence[Mapping[str, Any]], path: str) -> list[Any]:
    return list(dict.fromkeys(trial["settings"][path] for trial in trials))


def _key(known: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(overrides.get(path, known["base"][path]) for path in known["space"])


def main() -> None:
    """Read a study and write its curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    write_json(given.file, tabled(StudyRecords.open(given.directory)))
    print(words(given.file))


if __name__ == "__main__":
    main()
