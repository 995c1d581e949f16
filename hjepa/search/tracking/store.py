"""One study in one MLflow store: one parent run a study, one child run a trial.

Everything is read from the study's files and logged so that doing it again adds nothing: runs are found by tags
that name the study and the trial; each says how many lines of its metrics.jsonl it holds, and digests of the files.
"""

import contextlib
import getpass
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from hjepa.overrides import ConfigError, flatten
from hjepa.runtime.files import write_text
from hjepa.search.records import StudyRecords
from hjepa.search.tracking.address import whole
from hjepa.search.tracking.naming import Logged, place_of, study_id
from hjepa.search.tracking.values import (
    FOLDER,
    KIND,
    PLACE,
    RECORD,
    STATE,
    STUDY,
    TAG_LENGTH,
    TRIAL,
    WITHIN,
    Point,
    digest,
    ending,
    facts,
    lines,
    modified,
    params,
    present,
    span,
    status,
    texts,
)
from hjepa.search.trial_record import TrialRecord

#: What a store that is down, locked or not one raises.
FAILURES = (MlflowException, SQLAlchemyError, OSError)
#: Trials whose checkpoint is logged too, the best ones.
TOP = 3
#: MLflow's own limits on one request.
PARAMS_A_BATCH, METRICS_A_BATCH, PAGE = 100, 900, 1000
#: Fail soon: MLflow's defaults would retry a dead server for minutes. What the user has set stays.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
#: Files of the study itself that a report is built from.
STUDY_RECORD = ("study.yaml", "environment.json")
#: The report as artifacts of the parent run: file -> format.
REPORTS = {"report.md": "markdown", "report.json": "json", "report.html": "html"}
#: MLflow's page opens such an experiment at its runs, not at its traces.
PAGE_OPENS = {"mlflow.experimentKind": "custom_model_development"}
#: Characters of a run's description.
NOTE_LENGTH = 4900
_LINES, _RECORD, _MODEL = "hjepa.lines", "hjepa.digest.record", "hjepa.model_id"


def connect(uri: str) -> MlflowClient:
    """A client of the store at `uri`, quiet and impatient; a database that is not there yet is made.

    Raises one of FAILURES, also for what is no URI or a database whose driver is not installed.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote addresses
    file = _file_of(uri)
    if file is not None and not file.exists() and file.parent.is_dir():
        _make_database(file)
    try:
        return MlflowClient(tracking_uri=uri)
    except (ImportError, ValueError) as error:
        raise MlflowException(str(error)) from error


def _file_of(uri: str) -> Path | None:
    """The file of a database of our own; None for a server."""
    return Path(urlsplit(uri).path[1:]).absolute() if uri.startswith("sqlite:///") else None


def _make_database(file: Path) -> None:
    """Make a database whole or not at all: one that was left half made, as by a killed process, MLflow never mends."""
    for left in file.parent.glob(f".{file.name}.*"):
        left.unlink(missing_ok=True)
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
        with contextlib.suppress(FileExistsError):  # somebody else was first
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def search(client: MlflowClient, experiment: str, condition: str) -> Iterator[Run]:
    """Every run of an experiment that fulfils a condition, newest first."""
    token = None
    while True:
        found = client.search_runs([experiment], condition, max_results=PAGE, page_token=token)
        yield from found
        token = found.token
        if not token:
            return


def home(records: StudyRecords) -> StudyRecords:
    """The study in whose directory a study lies, as a confirmation does; else the study itself."""
    above = whole(records.directory)
    return records if above is None else StudyRecords.open(above)


@dataclass
class _Held:
    """What the store holds of one run."""

    id: str
    status: str
    tags: dict[str, str]
    parameters: bool


class Store:
    """One study in one MLflow store. After a failure make a new one: it looks again what is there."""

    def __init__(self, records: StudyRecords, uri: str) -> None:
        """Find or make the study's experiment and parent run."""
        self._records = records
        self._client = connect(uri)
        self._experiment = self._find_experiment(uri)
        self._study = study_id(records.directory, self._logged)
        known = search(self._client, self._experiment, f"tags.`{STUDY}` = '{self._study}'")
        #: Trial -> its run; the study's own under "".
        self._runs = {run.data.tags.get(TRIAL, ""): _held(run) for run in known}
        self._parent = self._runs.get("") or self._create_parent()

    @property
    def client(self) -> MlflowClient:
        """The connection."""
        return self._client

    def begin(self) -> None:
        """Say that the study runs."""
        self._end(self._parent, "RUNNING", None)

    def sync_trials(self) -> tuple[dict[str, str], list[str]]:
        """Mirror every trial: trial -> run id, and one line for each trial whose files cannot be read."""
        runs, problems = {}, []
        for trial in self._records.all_trials():
            try:
                runs[trial.id] = self.sync_trial(trial)
            except ConfigError as error:
                problems.append(f"{trial.id}: {error}")
        return runs, problems

    def sync_trial(self, trial: TrialRecord) -> str:
        """Mirror one trial as its files stand; its run id. Raises ConfigError where they cannot be read."""
        run = self._runs.get(trial.id) or self._create_child(trial)
        record = present(trial.directory, RECORD)
        mark = digest(record)
        if trial.final and run.tags.get(STATE) == trial.state and run.tags.get(_RECORD) == mark:
            return run.id
        if not run.parameters:
            found = params(trial)
            self._log_values(run.id, found)
            run.parameters = bool(found)
        self._log_lines(run, trial)
        if trial.final or trial.state == "interrupted" or _RECORD not in run.tags:
            self._upload(run, "record", record, mark)
        points = ending(trial) if trial.final and run.tags.get(STATE) != trial.state else []
        tags = {name: value for name, value in facts(trial).items() if run.tags.get(name) != value}
        self._log(run, points, tags)
        self._end(run, status(trial.state), span(trial)[1])
        return run.id

    def sync_study(self) -> None:
        """Mirror the study itself: its files, its report, the best checkpoints, and whether it has ended."""
        from hjepa.search.analysis import front, standings, winner  # noqa: PLC0415 - with the report, only when a study ends

        trials = self._records.trials()
        files = present(self._records.directory, STUDY_RECORD)
        self._upload(self._parent, "record", files, digest(files))
        self._log_report()
        best = winner(self._records)
        if best is not None and best.score is not None:
            named = {"hjepa.best_trial": best.trials[0].id, "hjepa.best_score": repr(best.score)}
            if self._records.goals.several:
                on_front = front(standings(self._records), self._records.goals)
                named["hjepa.front"] = ", ".join(standing.trials[0].id for standing in on_front)[:TAG_LENGTH]
            ended = sum(trial.final for trial in trials)
            at = max(span(trial)[1] for trial in best.trials)
            point = Point("best_score", best.score, at, ended)
            self._log(self._parent, [point], named)
        full = [t for t in trials if t.state == "completed" and t.score is not None and t.id in self._runs]
        for trial in sorted(full, key=lambda trial: -(trial.score or 0.0))[:TOP]:
            if trial.checkpoint is not None:
                self._upload(self._runs[trial.id], "", [trial.checkpoint], str(trial.epoch))
        over = all(trial.final for trial in trials)
        self._end(self._parent, "FINISHED" if over else "KILLED", max((span(t)[1] for t in trials), default=None))

    def sync_model(self, trial: TrialRecord) -> str:
        """The trial's encoder as an MLflow model of its run; the model's id.

        Raises ConfigError where its checkpoint is gone or cannot be read.
        """
        self.sync_trial(trial)
        run = self._runs[trial.id]
        if _MODEL not in run.tags:
            if trial.checkpoint is None:
                raise ConfigError([f"{trial.id}: has no checkpoint"])
            from hjepa.search.tracking.model import log_model  # noqa: PLC0415 - torch, for this alone

            about = {"hjepa.trial": trial.id, "hjepa.cell": trial.cell, "hjepa.score": repr(trial.score)}
            model = log_model(self._client, self._experiment, run.id, trial.checkpoint, about)
            self._log(run, [], {_MODEL: model})
        return run.tags[_MODEL]

    def run(self, trial: TrialRecord) -> str:
        """The id of a trial's run."""
        return self._runs[trial.id].id

    def _find_experiment(self, uri: str) -> str:
        name = home(self._records).name
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # A server knows where its artifacts go; beside a file of our own it must be said absolutely.
        file = _file_of(uri)
        place = None if file is None else (file.parent / "artifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=place, tags=PAGE_OPENS))

    def _logged(self) -> Iterator[Logged]:
        """Every run of the experiment, with its tags."""
        for run in search(self._client, self._experiment, ""):
            yield str(run.info.run_id), run.data.tags

    def _create_parent(self) -> _Held:
        tags = {STUDY: self._study, KIND: "study", "hjepa.objective": self._records.metric, **_origin()}
        tags["hjepa.goals"] = self._records.goals.in_words(self._records.epochs)
        tags[PLACE] = place_of(self._records.directory)
        above = whole(self._records.directory)
        if above is not None:
            tags |= {WITHIN: study_id(above, self._logged), FOLDER: self._records.directory.name}
        start = modified(self._records.directory / "environment.json") or None
        run = self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=self._records.name)
        settings = flatten({key: value for key, value in self._records.spec.items() if key not in ("base", "space")})
        self._log_values(run.info.run_id, texts({f"study.{path}": value for path, value in settings.items()}))
        self._runs[""] = _held(run)
        return self._runs[""]

    def _create_child(self, trial: TrialRecord) -> _Held:
        tags = {STUDY: self._study, TRIAL: trial.id, "mlflow.parentRunId": self._parent.id, KIND: "trial", **_origin()}
        name = f"{trial.cell} seed {trial.seed}"
        start = span(trial)[0] or None
        run = _held(self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=name))
        self._runs[trial.id] = run
        return run

    def _log_values(self, run: str, values: Mapping[str, str]) -> None:
        for chunk in _chunks([Param(name, value) for name, value in values.items()], PARAMS_A_BATCH):
            self._client.log_batch(run, params=chunk)

    def _log_lines(self, run: _Held, trial: TrialRecord) -> None:
        """The lines of metrics.jsonl beyond those logged, and how many there are now."""
        logged, count = int(run.tags.get(_LINES, 0)), 0
        batch: list[Point] = []
        for count, points in enumerate(lines(trial), start=1):
            if count <= logged:
                continue
            if batch and len(batch) + len(points) > METRICS_A_BATCH:
                self._log(run, batch, {_LINES: str(count - 1)})
                batch = []
            batch += points
        if batch:
            self._log(run, batch, {_LINES: str(count)})

    def _log_report(self) -> None:
        from hjepa.search.reports.report import report  # noqa: PLC0415 - its statistics take seconds to load

        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in REPORTS]
            for file in files:
                write_text(file, report(self._records, REPORTS[file.name]))  # type: ignore[arg-type]
            self._upload(self._parent, "report", files, digest(files))
            text = files[0].read_text(encoding="utf-8")
        note = text if len(text) <= NOTE_LENGTH else f"The report: artifact report/{files[0].name}"
        self._log(self._parent, [], {"mlflow.note.content": note})

    def _upload(self, run: _Held, folder: str, files: Sequence[Path], mark: str) -> None:
        """Log files as artifacts, unless the run says that it holds them as they are."""
        tag = f"hjepa.digest.{folder or 'checkpoint'}"
        if run.tags.get(tag) != mark:
            for file in files:
                self._client.log_artifact(run.id, str(file), folder or None)
            self._log(run, [], {tag: mark})

    def _log(self, run: _Held, points: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Metrics and changed tags in one request; none where there is nothing new."""
        changed = {name: value for name, value in tags.items() if run.tags.get(name) != value}
        if points or changed:
            metrics = [Metric(point.name, point.value, point.time, point.step) for point in points]
            self._client.log_batch(run.id, metrics=metrics, tags=[RunTag(*tag) for tag in changed.items()])
            run.tags.update(changed)

    def _end(self, run: _Held, word: str, time: int | None) -> None:
        """Set a run's status; with an end that is no later than now where it is over."""
        if run.status == word:
            return
        if word in ("RUNNING", "SCHEDULED"):
            self._client.update_run(run.id, status=word)
        else:
            self._client.set_terminated(run.id, word, end_time=time)
        run.status = word


def _held(run: Run) -> _Held:
    return _Held(str(run.info.run_id), str(run.info.status), dict(run.data.tags), bool(run.data.params))


def _origin() -> dict[str, str]:
    """Who logs, as MLflow's own logging would say it."""
    found = {"mlflow.source.name": "hjepa-search", "mlflow.source.type": "LOCAL"}
    try:
        return {**found, "mlflow.user": getpass.getuser()}
    except (KeyError, OSError):  # a container's user may have no name
        return found


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
