"""MLflow as a mirror of the records: one parent run a study, one child run a trial.

The only module that imports MLflow. Everything is read from the study's files and logged so that doing
it again adds nothing: runs are found by tags that name the study and the trial, and each run says how
many lines of its metrics.jsonl it holds. A driver mirrors in a thread of its own: a server that is slow
or down costs no trial anything, and what it missed is logged at the end or by the next `sync`.
"""

import json
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from hjepa.overrides import ConfigError, flatten, knobs, live, load_config, values_of
from hjepa.runtime.files import write_json
from hjepa.search.address import default_uri, masked, without_credentials
from hjepa.search.files import read_json
from hjepa.search.records import StudyRecords, TrialRecord

#: Trials whose checkpoint is logged too, the best ones.
TOP = 3
#: MLflow's own limits on one request.
PARAMS_A_BATCH, METRICS_A_BATCH, PARAM_LENGTH, TAG_LENGTH = 100, 900, 6000, 5000
#: Seconds that the end of a study waits for the mirror, and between attempts after a failure.
PATIENCE, PAUSE = 120.0, 30.0
#: Fail soon: MLflow's defaults would retry a dead server for minutes. What the user has set stays.
HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_STATUS = {
    "completed": "FINISHED",
    "duplicate": "FINISHED",
    "early_stopped": "KILLED",
    "preempted": "KILLED",
    "interrupted": "KILLED",
    "pending": "SCHEDULED",
    "running": "RUNNING",
}
_STUDY, _TRIAL, _STATE, _LINES = "hjepa.study_id", "hjepa.trial", "hjepa.state", "hjepa.lines"


def sync(records: StudyRecords, uri: str | None = None) -> None:
    """Log everything the records hold and the store at `uri` (by default the study's own) does not.

    Raises MlflowException or OSError when the store cannot be reached.
    """
    store = Store(records, uri or default_uri(records.directory))
    for trial, run in store.sync_all().items():
        records.mark(trial, mlflow_run_id=run)


class Store:
    """One study in one MLflow store."""

    def __init__(self, records: StudyRecords, uri: str) -> None:
        """Find or make the study's experiment and parent run."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        for name, value in HASTE.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._records = records
        self._client = MlflowClient(tracking_uri=uri)
        self._study = _study_id(records.directory)
        self._experiment = self._find_experiment(own=uri == default_uri(records.directory))
        self._parent = self._find_parent()

    def sync_all(self) -> dict[str, str]:
        """Mirror every trial, the best checkpoints and the study itself; trial -> run id."""
        trials = self._records.trials()
        runs = {trial.id: self.sync_trial(trial) for trial in trials}
        full = [t for t in trials if t.state == "completed" and t.score is not None]
        best = sorted(full, key=lambda trial: -(trial.score or 0.0))
        for trial in best[:TOP]:
            if trial.checkpoint is not None:
                self._upload(runs[trial.id], trial.checkpoint)
        self._upload(self._parent, self._records.directory / "study.yaml")
        if best:
            self._client.set_tag(self._parent, "hjepa.best_trial", best[0].id)
            self._client.set_tag(self._parent, "hjepa.best_score", repr(best[0].score))
        ended = all(trial.final for trial in trials)
        self._client.set_terminated(self._parent, "FINISHED" if ended else "KILLED")
        return runs

    def sync_trial(self, trial: TrialRecord) -> str:
        """Mirror one trial as its files stand; its run id."""
        run = self._find_run(trial)
        identity, before = str(run.info.run_id), run.data.tags
        if not run.data.params:
            self._log_params(identity, trial)
        self._log_metrics(identity, trial, int(before.get(_LINES, 0)))
        ending = trial.final and before.get(_STATE) != trial.state
        score = [] if trial.score is None or not ending else [_metric("score", trial.score, trial.epoch or 0)]
        self._client.log_batch(identity, metrics=score, tags=_tags(_facts(trial)))
        status = _STATUS.get(trial.state, "FAILED")
        if trial.final or trial.state == "interrupted":
            self._upload(identity, trial.directory / "experiment.yaml")
            if run.info.status != status:
                self._client.set_terminated(identity, status)
        elif run.info.status != status:
            self._client.update_run(identity, status=status)
        return identity

    def _find_experiment(self, *, own: bool) -> str:
        name = self._records.name
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = (self._records.directory.absolute() / "artifacts").as_uri() if own else None
        return str(self._client.create_experiment(name, artifact_location=place))

    def _find_parent(self) -> str:
        found = self._search(f"tags.`{_STUDY}` = '{self._study}' and tags.`hjepa.kind` = 'study'")
        if found is not None:
            self._client.update_run(found.info.run_id, status="RUNNING")
            return str(found.info.run_id)
        tags = {_STUDY: self._study, "hjepa.kind": "study", "hjepa.objective": self._records.metric}
        run = self._client.create_run(self._experiment, tags=tags, run_name=self._records.name)
        settings = flatten({key: value for key, value in self._records.spec.items() if key not in ("base", "space")})
        self._log_values(run.info.run_id, {f"study.{path}": value for path, value in settings.items()})
        return str(run.info.run_id)

    def _find_run(self, trial: TrialRecord) -> Run:
        """The trial's run: by the id in its record, else by its tags, else a new one."""
        if trial.mlflow_run_id is not None:
            try:
                run = self._client.get_run(trial.mlflow_run_id)
                if run.data.tags.get(_STUDY) == self._study:
                    return run
            except MlflowException as error:  # the record names a run of another store
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
        found = self._search(f"tags.`{_STUDY}` = '{self._study}' and tags.`{_TRIAL}` = '{trial.id}'")
        if found is not None:
            return found
        tags = {_STUDY: self._study, _TRIAL: trial.id, "mlflow.parentRunId": self._parent, "hjepa.kind": "trial"}
        return self._client.create_run(self._experiment, tags=tags, run_name=f"{trial.cell} seed {trial.seed}")

    def _search(self, condition: str) -> Run | None:
        found = self._client.search_runs([self._experiment], condition, max_results=1)
        return found[0] if found else None

    def _log_params(self, run: str, trial: TrialRecord) -> None:
        path = trial.directory / "experiment.yaml"
        if not path.is_file():
            return
        values = values_of(load_config(path))
        self._log_values(run, {name: values[name] for name, knob in knobs().items() if live(knob, values) is None})

    def _log_values(self, run: str, values: Mapping[str, Any]) -> None:
        params = [Param(name, _text(value)) for name, value in values.items()]
        for chunk in _chunks(params, PARAMS_A_BATCH):
            self._client.log_batch(run, params=chunk)

    def _log_metrics(self, run: str, trial: TrialRecord, logged: int) -> None:
        """The lines of metrics.jsonl beyond the `logged` first ones, and how many there are now."""
        batch: list[Metric] = []
        count = 0
        for count, metrics in enumerate(_lines(trial.directory / "metrics.jsonl"), start=1):
            if count <= logged:
                continue
            if len(batch) + len(metrics) > METRICS_A_BATCH:
                self._client.log_batch(run, metrics=batch, tags=_tags({_LINES: count - 1}))
                batch = []
            batch += metrics
        if batch:
            self._client.log_batch(run, metrics=batch, tags=_tags({_LINES: count}))

    def _upload(self, run: str, file: Path) -> None:
        there = {item.path for item in self._client.list_artifacts(run)}
        if file.is_file() and file.name not in there:
            self._client.log_artifact(run, str(file))


class Mirror:
    """Mirrors a study while it runs; a watcher that never blocks and never raises."""

    def __init__(self, records: StudyRecords, uri: str | None = None) -> None:
        self._records = records
        self._uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(records.directory)
        #: Where it logs, without credentials.
        self.place = masked(self._uri)
        #: Why something may be missing there; None when all is logged.
        self.problem: str | None = None
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
        """Log what is missing, waiting no longer than this many seconds."""
        self._todo.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self.problem = f"{self.place} did not take everything within {patience:.0f} s"
        self._keep_ids()

    def _keep_ids(self) -> None:
        """Write run ids into the records, in the driver's own thread: one writer a file."""
        for trial in list(self._runs):
            self._records.mark(trial, mlflow_run_id=self._runs.pop(trial))

    def _work(self) -> None:
        """Mirror trials as they change; after a failure rest a while; at the end everything once more."""
        store: Store | None = None
        rest_until = 0.0
        while (trial := self._todo.get()) is not None:
            if time.monotonic() < rest_until:
                continue
            try:
                store = store or Store(self._records, self._uri)
                self._runs[trial] = store.sync_trial(self._records.trial(trial))
            except (MlflowException, OSError, ConfigError) as error:
                rest_until = time.monotonic() + PAUSE
                logging.getLogger(__name__).warning("not logged to MLflow: %s", _said(error))
        try:
            store = store or Store(self._records, self._uri)
            self._runs |= store.sync_all()
        except (MlflowException, OSError, ConfigError) as error:
            self.problem = f"{self.place} did not take everything: {_said(error)}"


def _said(error: Exception) -> str:
    return without_credentials(" ".join(str(error).split())[:300])


def _study_id(directory: Path) -> str:
    """A name of this study that no other study has, kept in its directory."""
    path = directory / "mlflow.json"
    content = read_json(path)
    if content is None:
        content = {"study_id": uuid.uuid4().hex}
        write_json(path, content)
    return str(content["study_id"])


def _facts(trial: TrialRecord) -> dict[str, Any]:
    """What a trial's tags say."""
    result, machine = trial.result, trial.result.get("environment") or {}
    facts = {
        _STATE: trial.state,
        "hjepa.reason": trial.reason,
        "hjepa.index": trial.index,
        "hjepa.cell": trial.cell,
        "hjepa.seed": trial.seed,
        "hjepa.config": trial.config,
        "hjepa.identity": result.get("identity"),
        "hjepa.metric": trial.metric,
        "hjepa.epoch": trial.epoch,
        "hjepa.rung": trial.rung,
        "hjepa.duplicate_of": trial.duplicate_of,
        "hjepa.overrides": json.dumps(dict(trial.overrides)),
        "mlflow.source.git.commit": machine.get("git_commit"),
    }
    facts |= {f"hjepa.floor.{name}": value for name, value in trial.floor.items() if name.endswith("probe.top1")}
    for name, value in machine.items():
        if name == "versions":
            facts |= {f"hjepa.version.{library}": version for library, version in value.items()}
        elif name != "git_commit":
            facts[f"hjepa.{name}"] = value
    return {name: value for name, value in facts.items() if value is not None}


def _tags(facts: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(name, _text(value)[:TAG_LENGTH]) for name, value in facts.items()]


def _text(value: Any) -> str:
    """A value as MLflow shows it, cut at its limit."""
    return (value if isinstance(value, str) else json.dumps(value))[:PARAM_LENGTH]


def _metric(name: str, value: float, step: int) -> Metric:
    return Metric(name, float(value), int(time.time() * 1000), step)


def _lines(path: Path) -> Iterator[list[Metric]]:
    """The metrics of each line: optimiser steps by step, scores by epoch. Null values are left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):  # being written
            return
        entry = json.loads(line)
        step = int(entry["step"] if entry["kind"] == "step" else entry["epoch"])
        numbers = {name: value for name, value in entry.items() if isinstance(value, int | float)}
        if entry["kind"] != "step":
            numbers.pop("epoch")
        yield [_metric(name, value, step) for name, value in numbers.items() if name != "step"]


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
