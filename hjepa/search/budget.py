"""What a study has spent of its budget: hours of devices and epochs, over all its runs and every attempt at a trial."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hjepa.runtime.files import write_json
from hjepa.search.files import read_json
from hjepa.search.sections import Budget
from hjepa.search.trial_record import TrialRecord

#: What says in a study's directory how its last run ended.
ENDING = "ending.json"


@dataclass(frozen=True)
class Spent:
    """Seconds of devices, each worker having one, and epochs of training."""

    device_seconds: float = 0.0
    epochs: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.device_seconds + other.device_seconds, self.epochs + other.epochs)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.device_seconds - other.device_seconds, self.epochs - other.epochs)

    @property
    def device_hours(self) -> float:
        """Hours of devices."""
        return self.device_seconds / 3600


def spent_on(trial: TrialRecord, workers: int) -> Spent:
    """What a trial took, as its record says; nothing where another's result is its own.

    What a resumed attempt says holds what those before it say. One that says less than the one before began again.
    """
    if trial.duplicate_of is not None or trial.result.get("reused_from"):
        return Spent()
    attempts = [(_number(a.get("seconds")) * workers, _number(a.get("epoch"))) for a in trial.attempts]
    attempts.append((_number(trial.result.get("device_seconds")), _number(trial.epoch)))
    lost = [before for before, after in itertools.pairwise(attempts) if after < before]
    seconds, epochs = zip(*lost, attempts[-1], strict=True)
    return Spent(sum(seconds), sum(epochs))


def spent_in(trials: Iterable[TrialRecord], workers: int) -> Spent:
    """What these trials took."""
    return sum((spent_on(trial, workers) for trial in trials), Spent())


def over(budget: Budget, spent: Spent) -> str | None:
    """Which part of the budget is spent, in words; None: none is."""
    asked, key, unit = budget.device_hours, "device_hours", "device-hours"
    if asked is None or spent.device_hours < asked:
        asked, key, unit = budget.total_epochs, "total_epochs", "epochs in all"
        if asked is None or spent.epochs < asked:
            return None
    return f"the budget of {asked:g} {unit} is spent; a larger budget.{key} goes on"


def parts(budget: Budget, spent: Spent) -> dict[str, dict[str, float]]:
    """What is asked and spent of each part of the budget that is counted in the records; of those that are set."""
    known = {
        "device_hours": (budget.device_hours, spent.device_hours),
        "total_epochs": (budget.total_epochs, spent.epochs),
    }
    return {name: {"asked": asked, "spent": used} for name, (asked, used) in known.items() if asked is not None}


def in_words(found: Mapping[str, Mapping[str, float]]) -> str:
    """The answer of `parts` for people."""
    units = {"device_hours": "device-hours", "total_epochs": "epochs in all"}
    left = {name: max(0.0, part["asked"] - part["spent"]) for name, part in found.items()}
    return "; ".join(
        f"{part['spent']:.3g} of {part['asked']:g} {units[name]} spent, {left[name]:.3g} left"
        for name, part in found.items()
    )


class Ledger:
    """A watcher of a study that says when its budget is spent.

    A trial that is running has taken a device for as long as it runs, by a clock that nobody sets; at its end its
    record says what it took. Epochs are counted where they are reported.
    """

    def __init__(self, budget: Budget, workers: int, now: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._workers = workers
        self._now = now
        self._known: dict[str, Spent] = {}
        self._began: dict[str, float] = {}
        self._total = Spent()

    def take_up(self, records: Iterable[TrialRecord]) -> None:
        """Enter the trials of earlier runs."""
        for record in records:
            self._enter(record.id, spent_on(record, self._workers))

    def changed(self, record: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """A trial was written down, started, reported (then with metrics) or ended."""
        before = self._known.get(record.id, Spent())
        if record.state != "running":
            self._began.pop(record.id, None)
            self._enter(record.id, spent_on(record, self._workers))
            return
        self._began.setdefault(record.id, self._now())
        epoch = _number(record.epoch)
        if record.epochs is None or epoch < record.epochs:  # one at its last is about to end, and counts when it has
            self._enter(record.id, Spent(before.device_seconds, max(before.epochs, epoch)))

    @property
    def spent(self) -> Spent:
        """What all trials have taken until now."""
        running = sum(self._now() - began for began in self._began.values())
        return self._total + Spent(running * self._workers)

    @property
    def reason(self) -> str | None:
        """Why the study should stop now; None when it should not."""
        return over(self._budget, self.spent)

    def _enter(self, trial: str, spent: Spent) -> None:
        self._total += spent - self._known.get(trial, Spent())
        self._known[trial] = spent


def write_ending(directory: Path, stopped: str | None) -> None:
    """Say in a study's directory why its last run ended before the study did; nothing where it did not."""
    if stopped is None:
        (directory / ENDING).unlink(missing_ok=True)
    else:
        write_json(directory / ENDING, {"stopped": stopped, "at": time.time()})


def ending(directory: Path) -> str | None:
    """Why the last run of a study ended before the study did."""
    said = (read_json(directory / ENDING) or {}).get("stopped")
    return said if isinstance(said, str) else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
