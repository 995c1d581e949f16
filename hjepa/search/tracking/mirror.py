"""MLflow as a mirror of the records: logged in a thread of its own while a study runs, or afterwards by `sync`.

Files are the truth. A server that is slow or down costs no trial anything, and what it missed is logged at the end
or by the next `sync`, without a second run for anything.
"""

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from hjepa.overrides import ConfigError
from hjepa.search.export import select
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.tracking.address import default_uri, masked, without_credentials
from hjepa.search.tracking.store import FAILURES, Store, home

#: Seconds that the end of a study waits for the mirror, and between attempts after a failure.
PATIENCE, PAUSE = 120.0, 30.0
_LOG = logging.getLogger(__name__)


def place(records: StudyRecords, uri: str | None = None) -> str:
    """Where a study is tracked: what is given, what the environment says, else its own store."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(records.directory)


def sync(records: StudyRecords, uri: str | None = None) -> list[str]:
    """Log everything the records hold and the store at `uri` (by default `place`) does not.

    One line for each thing that could not be read. Raises ConfigError while a driver runs, which does this itself,
    and when the store cannot be reached.
    """
    if records.driven():
        raise ConfigError([f"{records.directory}: a run of this study is using it, and logs it itself"])
    uri = place(records, uri)
    try:
        return _log_everything(records, uri)
    except FAILURES as error:
        raise ConfigError([f"--tracking-uri: {masked(uri)} did not take everything: {_said(error, uri)}"]) from error


def register_model(records: StudyRecords, trial: TrialRecord, name: str, uri: str | None = None) -> str:
    """Register a trial's encoder as an MLflow model; its version. Raises ConfigError."""
    from hjepa.search.tracking.model import register  # noqa: PLC0415 - torch, for this alone

    uri = place(records, uri)
    try:
        store = Store(records, uri)
        model = store.sync_model(trial)
        version = register(store.client, name, model, store.run(trial))
    except FAILURES as error:
        raise ConfigError([f"--model: got {name}; {masked(uri)} did not take it: {_said(error, uri)}"]) from error
    records.mark(trial.id, mlflow_run_id=store.run(trial))
    return version


def _log_everything(records: StudyRecords, uri: str) -> list[str]:
    """Mirror a study as it stands, and the one it belongs to; what could not be read."""
    problems = _log_study(records, uri)
    above = home(records)
    return problems if above is records else [*problems, *_log_study(above, uri)]


def _log_study(records: StudyRecords, uri: str) -> list[str]:
    store = Store(records, uri)
    runs, problems = store.sync_trials()
    for trial in records.all_trials():
        if trial.id in runs and trial.mlflow_run_id != runs[trial.id]:
            _keep(records, trial.id, runs[trial.id])
    store.sync_study()
    try:
        store.sync_model(select(records, None))
    except ConfigError as error:  # none has completed, or its checkpoint is gone
        if any(trial.state == "completed" for trial in records.trials()):
            problems.append(f"the best encoder is no MLflow model: {error}")
    return problems


class Mirror:
    """Mirrors a study while it runs; a watcher that never blocks and never raises."""

    def __init__(self, records: StudyRecords, uri: str | None = None) -> None:
        self._records = records
        self._uri = place(records, uri)
        #: Where it logs, without credentials.
        self.place = masked(self._uri)
        #: Why something may be missing there; None when all is logged.
        self.problem: str | None = f"{self.place} did not take everything: driver.log says why"
        self._todo: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._runs: dict[str, str] = {}
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._todo.put(None)

    def changed(self, record: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """Mirror the trial soon."""
        if record.state != "pending":
            self._todo.put(record.id)
        self._keep_ids()

    def finish(self, patience: float = PATIENCE) -> None:
        """Log what is missing, waiting no longer than this many seconds; from now on the mirror writes run ids."""
        self._keep_ids()
        self._todo.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self.problem = f"{self.place} did not take everything within {patience:.0f} s"

    def _keep_ids(self) -> None:
        """Write run ids into the records, in the driver's own thread: one writer a file."""
        for trial in list(self._runs):
            _keep(self._records, trial, self._runs.pop(trial))

    def _work(self) -> None:
        """Mirror trials as they change; after a failure rest a while; at the end everything once more."""
        store: Store | None = None
        rest_until = 0.0
        while (trials := self._next()) is not None:
            if time.monotonic() < rest_until:
                continue
            try:
                if store is None:
                    store = Store(self._records, self._uri)
                    store.begin()
                for trial in trials:
                    self._runs[trial] = store.sync_trial(self._records.trial(trial))
            except (*FAILURES, ConfigError) as error:
                store = None  # what it held may be old: look again what is there
                rest_until = time.monotonic() + PAUSE
                _LOG.warning("not logged to MLflow: %s", _said(error, self._uri))
        try:
            problems = _log_everything(self._records, self._uri)
            self.problem = "; ".join(problems) or None
        except (*FAILURES, ConfigError) as error:
            self.problem = f"{self.place} did not take everything: {_said(error, self._uri)}"

    def _next(self) -> list[str] | None:
        """Trials that have changed since the last look, each once; None when there will be no more."""
        found = [self._todo.get()]
        while not self._todo.empty():
            found.append(self._todo.get())
        return None if None in found else list(dict.fromkeys(trial for trial in found if trial is not None))


def _keep(records: StudyRecords, trial: str, run: str) -> None:
    """Write a run's id down, if the trial's folder can be written: the run is also found by its tags."""
    with contextlib.suppress(PermissionError):
        records.mark(trial, mlflow_run_id=run)


def _said(error: Exception, uri: str) -> str:
    return without_credentials(" ".join(str(error).split())[:300], uri)
