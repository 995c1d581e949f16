"""Tune's searcher, scheduler and callback as thin adapters to one Conductor.

Tune asks the searcher for trials, the scheduler whether to go on, and tells the callback what happened.
All that is decided is decided by the Conductor; Tune's own state is never used again.
"""

from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from hjepa.search.conductor import Conductor
from hjepa.search.execution.interruption import Interruption, writing
from hjepa.search.execution.order import Order, pinned
from hjepa.search.execution.session import Pulse
from hjepa.search.records import TrialRecord
from hjepa.search.reuse import Library
from hjepa.search.watch import Watch


def name_of(trial: Trial) -> str:
    """Our id of a Tune trial."""
    return str(trial.config["id"])


def folder_of(trial: Trial) -> str:
    """The name of Tune's own folder: a trial that is paused and resumed is executed by several Tune trials."""
    return f"{name_of(trial)}-{trial.trial_id}"


class Stateless:
    """Tune saves its parts with pickle so that it could go on from them; these have nothing to save."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: the records are what a study goes on from."""
        return {}


class Proposals(Stateless, Searcher):
    """Hands out the Conductor's trials."""

    def __init__(self, conductor: Conductor, gpus: float, library: Library) -> None:
        super().__init__()
        self._conductor = conductor
        self._library = library
        self._resources = conductor.study.spec.resources
        self._gpus = gpus

    @writing()
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """The next trial's order; None: not yet."""
        record = self._next()
        if record is None:
            return None if self._conductor.waiting else Searcher.FINISHED
        order = Order(
            id=record.id,
            config=pinned(self._conductor.config(record), self._resources.cpus).model_dump_json(),
            directory=str(record.directory),
            study=str(self._conductor.records.directory),
            workers=self._resources.workers,
            cpus=self._resources.cpus,
            gpus=self._gpus,
            test=self._conductor.study.design is not None,
            run=self._conductor.records.run,
        )
        return order.pack()

    def _next(self) -> TrialRecord | None:
        """The next trial that has to run; those before it that another study has run end by its results."""
        conductor = self._conductor
        while (record := conductor.next_trial()) is not None:
            if not self._library.answer(conductor.records, record, conductor.config(record)):
                break
            conductor.answered(record.id)
        return record

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: Follower tells the Conductor."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class Verdicts(Stateless, FIFOScheduler):
    """Ends the execution of a trial where the Conductor says so: for good, or until it is promoted."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._conductor = conductor

    @writing()
    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Judge a report."""
        reason = self._conductor.reported(name_of(trial), result)
        return TrialScheduler.CONTINUE if reason is None else TrialScheduler.STOP


class Follower(Stateless, Callback):
    """Tells the Conductor what happened, and leaves the study when it should stop."""

    def __init__(self, conductor: Conductor, interruption: Interruption, watch: Watch, pulse: Pulse) -> None:
        self._conductor = conductor
        self._interruption = interruption
        self._watch = watch
        self.pulse = pulse
        self._hung: dict[str, str] = {}

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Between two events nothing is half done. Ends what hangs. Raises StopStudy."""
        self._interruption.check()
        self.pulse.check()
        for name, reason in self._watch.hung():
            self._hung[name] = reason
            _kill(name, trials)

    @writing()
    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial begins."""
        self._conductor.started(name_of(trial))

    @writing()
    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ended or was stopped."""
        self._hung.pop(name_of(trial), None)
        self._conductor.ended(name_of(trial))

    @writing()
    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial raised or its process died."""
        path = trial.error_file
        name = name_of(trial)
        self._conductor.failed(name, Path(path).read_text() if path else "", self._hung.pop(name, None))


def _kill(name: str, trials: list[Trial]) -> None:
    """Kill the process that executes a trial; Tune then hears of its death as of any other."""
    for trial in trials:
        actor = trial.temporary_state.ray_actor
        if name_of(trial) == name and actor is not None:
            ray.kill(actor)
