"""What a study holds on disk. Files are the truth: the driver writes them here, everybody reads them here."""

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hjepa.config import rung_metric
from hjepa.overrides import ConfigError, yaml12
from hjepa.runtime.environment import environment
from hjepa.search.files import last_lines, read_json, write_json, write_text
from hjepa.search.same_study import differences
from hjepa.search.study import Study

SCHEMA_VERSION = 1

#: A trial ends in exactly one of these.
FINAL = ("completed", "early_stopped", "diverged", "collapsed", "out_of_memory", "failed", "preempted", "duplicate")
#: Before its end it is in one of these.
OPEN = ("pending", "running", "interrupted")
#: States whose trial has no score.
SCORELESS = ("diverged", "out_of_memory", "failed")


@dataclass(frozen=True)
class TrialRecord:
    """One trial: a configuration on one seed.

    `index` numbers the configurations (0: the baseline); `config` is the configuration's hash, the same
    for all seeds; `score` is the last value of `metric` (the study's objective, or its stand-in at rungs
    when the trial never reached its full probe); `result` is the whole result.json.
    """

    id: str
    index: int
    config: str
    cell: str
    seed: int
    overrides: Mapping[str, Any]
    state: str
    directory: Path
    reason: str | None = None
    score: float | None = None
    metric: str | None = None
    epoch: int | None = None
    rung: int | None = None
    duplicate_of: str | None = None
    mlflow_run_id: str | None = None
    floor: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL

    @property
    def checkpoint(self) -> Path | None:
        """Where it can be resumed from."""
        path = self.directory / "checkpoint.pt"
        return path if path.is_file() else None


class StudyRecords:
    """The directory of one study."""

    def __init__(self, directory: Path, spec: Mapping[str, Any]) -> None:
        self.directory = directory
        #: The content of study.yaml.
        self.spec = spec
        self._driving = False

    @classmethod
    def open(cls, directory: Path | str) -> "StudyRecords":
        """The records of a study that exists. Raises ConfigError."""
        directory = Path(directory)
        if not (directory / "study.yaml").is_file():
            what = "holds no study.yaml" if directory.is_dir() else "no such directory"
            raise ConfigError([f"{directory}: {what}; allowed the directory of a study that has run"])
        spec = yaml12.read(directory / "study.yaml")
        if not isinstance(spec, Mapping) or not {"study", "objective", "budget", "base"} <= set(spec):
            raise ConfigError([f"{directory / 'study.yaml'}: not the record of a study"])
        return cls(directory, spec)

    @classmethod
    def create_or_open(cls, directory: Path | str, study: Study, fingerprint: str = "") -> "StudyRecords":
        """The records of this study, made where there is no directory yet.

        A study may be extended: trials, hours, seeds, resources and concurrency may change, and
        study.yaml is rewritten. Raises ConfigError for the directory of another study, or a directory
        that is not empty and holds no study; then nothing is written. `fingerprint` is that of the data.
        """
        directory = Path(directory)
        spec = study.resolved()
        if (directory / "study.yaml").is_file():
            records = cls.open(directory)
            before = (read_json(directory / "environment.json") or {}).get("data_fingerprint")
            differing = differences(records.spec, spec)
            if before and fingerprint and before != fingerprint:
                differing.append(f"data fingerprint {before[:10]} there, {fingerprint[:10]} here")
            if differing:
                raise ConfigError([f"{directory}: holds another study: {'; '.join(differing)}; give another --output"])
        elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ConfigError([f"{directory}: is not empty and holds no study; give another --output"])
        else:
            records = cls(directory, spec)
        if spec != records.spec or not (directory / "study.yaml").is_file():
            write_text(directory / "study.yaml", yaml12.dump(spec))
            records.spec = spec
        if not (directory / "environment.json").is_file():
            write_json(directory / "environment.json", {**environment(), "data_fingerprint": fingerprint or None})
        return records

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.spec["study"])

    @property
    def metric(self) -> str:
        """The objective, at full budget."""
        return str(self.spec["objective"]["metric"])

    @property
    def epochs(self) -> int:
        """Epochs at full budget."""
        return int(self.spec["budget"]["epochs"])

    @contextlib.contextmanager
    def driving(self) -> Iterator[None]:
        """Held by the one driver of the study while it runs. Raises ConfigError when another holds it."""
        with (self.directory / "driver.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError([f"{self.directory}: another run of this study is using it"]) from None
            self._driving = True
            try:
                yield
            finally:
                self._driving = False

    def driven(self) -> bool:
        """Whether a driver is running."""
        if self._driving:
            return True
        try:
            with (self.directory / "driver.lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def folder(self, trial: str) -> Path:
        """The directory of a trial."""
        return self.directory / "trials" / trial

    def trials(self) -> list[TrialRecord]:
        """Every trial, by configuration and seed; a duplicate copies the score of its original."""
        driven = self.driven()
        folders = sorted(path for path in (self.directory / "trials").glob("*") if path.is_dir())
        found = [record for folder in folders if (record := self._read(folder, driven)) is not None]
        by_id = {record.id: record for record in found}
        copied = [_copied(record, by_id.get(record.duplicate_of or "")) for record in found]
        return sorted(copied, key=lambda record: (record.index, record.seed, record.id))

    def trial(self, trial: str) -> TrialRecord:
        """One trial. Raises ConfigError for one that the study does not hold."""
        known = {record.id: record for record in self.trials()}
        if trial not in known:
            shown = ", ".join(list(known)[:8]) + (", ..." if len(known) > 8 else "")
            raise ConfigError([f"{trial}: no such trial in {self.directory}; allowed {shown or 'none yet'}"])
        return known[trial]

    def todo(self) -> list[TrialRecord]:
        """Trials that were begun or written down and have not ended."""
        return [record for record in self.trials() if not record.final]

    def write_trial(self, record: TrialRecord) -> None:
        """Write down a trial before it starts (its trial.json); the record's state must be an open one."""
        assert record.state in OPEN
        content = {name: getattr(record, name) for name in _TRIAL_KEYS}
        write_json(self.folder(record.id) / "trial.json", {"schema_version": SCHEMA_VERSION, **content})

    def mark(self, trial: str, **changes: Any) -> None:
        """Change keys of a trial.json: `state` (an open one), `mlflow_run_id`, `duplicate_of`."""
        assert set(changes) <= {"state", "mlflow_run_id", "duplicate_of"} and changes.get("state", "pending") in OPEN
        path = self.folder(trial) / "trial.json"
        content = read_json(path)
        if content is not None:
            write_json(path, {**content, **changes})

    def write_result(self, trial: str, state: str, reason: str | None = None, **fields: Any) -> bool:
        """Write the end of a trial into its result.json, keeping what is there already.

        A final state is never overwritten: then nothing is written, and False is returned.
        """
        assert state in FINAL or state == "interrupted"
        path = self.folder(trial) / "result.json"
        before = read_json(path) or {}
        if before.get("state") in FINAL:
            return False
        blank = dict.fromkeys(("score", "metric", "epoch", "rung"))
        content = {"schema_version": SCHEMA_VERSION, **blank, "floor": {}, "metrics": {}, **before, **fields}
        write_json(path, content | {"state": state, "reason": reason})
        return True

    def _read(self, folder: Path, driven: bool) -> TrialRecord | None:
        trial = read_json(folder / "trial.json")
        if trial is None or not set(_TRIAL_KEYS) <= set(trial):
            return None
        result = read_json(folder / "result.json") or {}
        state = _state(trial, result, folder, driven)
        metric, score, epoch, rung = self._score(state, result, folder)
        return TrialRecord(
            **{name: trial[name] for name in _TRIAL_KEYS if name != "state"},
            state=state,
            directory=folder,
            reason=result.get("reason") if state in FINAL or state == "interrupted" else None,
            score=score,
            metric=metric,
            epoch=epoch,
            rung=rung,
            floor=result.get("floor") or {},
            result=result,
        )

    def _score(
        self, state: str, result: Mapping[str, Any], folder: Path
    ) -> tuple[str | None, float | None, int | None, int | None]:
        """Metric, score, epoch and rung: of the result, or of the last line that a running trial wrote."""
        metrics, epoch, rung = result.get("metrics") or {}, result.get("epoch"), result.get("rung")
        if state in OPEN:
            lines = last_lines(folder / "metrics.jsonl", ("rung",))
            if lines:
                metrics, epoch, rung = lines[-1], lines[-1].get("epoch"), len(lines) - 1
        full = self.metric
        if state == "completed" or (epoch == self.epochs and metrics.get(full) is not None):
            metric = full
        else:
            metric = rung_metric(full)
        score = None if state in SCORELESS else metrics.get(metric)
        if score is None:
            return None, None, epoch, rung
        return metric, float(score), epoch, rung


_TRIAL_KEYS = (
    "id",
    "index",
    "config",
    "cell",
    "seed",
    "overrides",
    "state",
    "duplicate_of",
    "mlflow_run_id",
)


def _state(trial: Mapping[str, Any], result: Mapping[str, Any], folder: Path, driven: bool) -> str:
    """The state that the files show: a driver that was killed leaves no trial running."""
    if result.get("state") in FINAL:
        return str(result["state"])
    if driven and trial["state"] in OPEN:
        return str(trial["state"])
    started = bool(result) or (folder / "metrics.jsonl").is_file() or (folder / "checkpoint.pt").is_file()
    return "interrupted" if started else "pending"


def _copied(record: TrialRecord, original: TrialRecord | None) -> TrialRecord:
    """A duplicate with its original's score."""
    if record.state != "duplicate" or original is None:
        return record
    return replace(
        record,
        score=original.score,
        metric=original.metric,
        epoch=original.epoch,
        rung=original.rung,
        floor=original.floor,
    )
