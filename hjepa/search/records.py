"""What a study holds on disk. Files are the truth: the driver writes them here, everybody reads them here."""

import contextlib
import fcntl
import functools
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from hjepa.overrides import ConfigError, yaml12
from hjepa.runtime.environment import environment
from hjepa.runtime.files import write_json, write_text
from hjepa.search import owner
from hjepa.search.files import read_json, uncollected
from hjepa.search.goals import Goals
from hjepa.search.same_study import differences
from hjepa.search.states import FINAL, OPEN, SCORELESS, move
from hjepa.search.study import Study
from hjepa.search.trial_record import (
    LATER_KEYS,
    TRIAL_KEYS,
    TrialRecord,
    copied,
    progress,
    read_trial,
    wrong_result,
    wrong_trial,
)

SCHEMA_VERSION = 1

#: The last extension: to how many `trials` in all, of which `by` are new.
EXTENSION = "extension.json"
#: How a study whose files are lost is read.
READ_BACK = "hjepa-search report NAME --tracking-uri URI"
#: A report that looks whether a driver runs holds the lock for a moment.
LOCK_ATTEMPTS = 5


class StudyRecords:
    """The directory of one study."""

    def __init__(self, directory: Path, spec: Mapping[str, Any]) -> None:
        self.directory = directory
        #: How a command line names the study.
        self.place = shlex.quote(str(directory))
        #: The content of study.yaml.
        self.spec = spec
        self._driving = False
        #: As what the driver signed the study's lock; None in anybody else.
        self.run: str | None = None

    @classmethod
    def open(cls, directory: Path | str) -> "StudyRecords":
        """The records of a study that exists. Raises ConfigError."""
        directory = Path(directory)
        if not (directory / "study.yaml").is_file():
            what = "holds no study.yaml" if directory.is_dir() else "no such directory"
            raise ConfigError([f"{directory}: {what}; allowed the directory of a study that has run"])
        path = directory / "study.yaml"
        more = f"; what was logged can be read from MLflow ({READ_BACK}), a new run needs another --output"
        try:
            spec = yaml12.read(path)
        except ConfigError as error:
            raise ConfigError(
                [f"{line if str(path) in line else f'{path}: {line}'}{more}" for line in error.problems]
            ) from error
        if not _is_record(spec):
            raise ConfigError([f"{path}: not the whole record of a study{more}"])
        return cls(directory, spec)

    @classmethod
    def create_or_open(
        cls, directory: Path | str, study: Study, fingerprint: str = "", *, extend: int | None = None
    ) -> "StudyRecords":
        """The records of this study, made where there is no directory yet.

        A study may be extended: trials, epochs, hours, seeds, resources and concurrency may change, and
        study.yaml is rewritten. Raises ConfigError for the directory of another study, or of one that another driver is
        using, or a directory that is not empty and holds no study; then nothing is written. `fingerprint` is that
        of the data, `extend` the number of trials that were just added to the budget.
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
            if spec != records.spec:
                records.refuse_driven()
            if spec["budget"]["epochs"] != records.epochs:
                records.say_epochs()
        elif directory.exists() and (not directory.is_dir() or any(map(_foreign, directory.iterdir()))):
            raise ConfigError([f"{directory}: is not empty and holds no study; give another --output"])
        else:
            records = cls(directory, spec)
        if extend is not None:  # before study.yaml: the same command again is the same extension
            write_json(directory / EXTENSION, {"trials": spec["budget"]["trials"], "by": extend})
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
        """The objective, at full budget; of several the first."""
        return self.goals.metric

    @functools.cached_property
    def goals(self) -> Goals:
        """What its trials are judged by."""
        return Goals.of(self.spec)

    @property
    def epochs(self) -> int:
        """Epochs at full budget."""
        return int(self.spec["budget"]["epochs"])

    @contextlib.contextmanager
    def driving(self) -> Iterator[None]:
        """Held by the one driver of the study while it runs. Raises ConfigError when another holds it."""
        with (self.directory / owner.LOCK).open("a+") as lock:
            if not any(map(_locked, [lock] * LOCK_ATTEMPTS)):
                raise self._used(lock)
            self.run = owner.enter(lock)
            self._driving = True
            self._sweep()
            try:
                yield
            finally:
                self._driving = False
                lock.truncate(0)

    def _sweep(self) -> None:
        """Remove what a killed driver has left half written."""
        for pattern in (".*.json.*", ".*.yaml.*", "trials/*/.trial.json.*"):
            for left in self.directory.glob(pattern):
                left.unlink(missing_ok=True)

    def driven(self) -> bool:
        """Whether a driver is running."""
        return self._driving or owner.is_held(self.directory / owner.LOCK)

    def refuse_driven(self) -> None:
        """Raise ConfigError where another driver is using the study."""
        if self.driven():
            with (self.directory / owner.LOCK).open() as lock:
                raise self._used(lock)

    def _used(self, lock: IO[str]) -> ConfigError:
        return ConfigError([f"{self.directory}: another run of this study is using it{owner.held(lock)}"])

    def say_epochs(self) -> None:
        """Write the study's epochs into every trial that does not say its own: the study is to have others."""
        for record in self.all_trials():
            if record.epochs is None:
                self.mark(record.id, epochs=self.epochs)

    def folder(self, trial: str) -> Path:
        """The directory of a trial."""
        return self.directory / "trials" / trial

    def trials(self) -> list[TrialRecord]:
        """Every trial of the study's budget, by configuration and seed; a duplicate copies its original's score."""
        return self.trials_at(self.epochs)

    def trials_at(self, epochs: int) -> list[TrialRecord]:
        """The same of a full budget of so many epochs; the study may have had several."""
        return [record for record in self.all_trials() if (record.epochs or self.epochs) == epochs]

    def all_trials(self) -> list[TrialRecord]:
        """The same of every budget: only those of one are ranked together."""
        driven = self.driven()
        with uncollected():
            found = [r for name in self._folders() if (r := self._read_folder(self.folder(name), driven)) is not None]
        by_id = {record.id: record for record in found}
        known = [copied(record, by_id.get(record.duplicate_of or "")) for record in found]
        return sorted(known, key=lambda record: (record.index, record.seed, record.id))

    def trial(self, trial: str) -> TrialRecord:
        """One trial. Raises ConfigError for one that the study does not hold."""
        driven = self.driven()
        record = self._read_folder(self.folder(trial), driven) if trial else None
        if record is None:
            known = [other.id for other in self.trials()]
            shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise ConfigError([f"{trial}: no such trial in {self.directory}; allowed {shown or 'none yet'}"])
        original = self._read_folder(self.folder(record.duplicate_of), driven) if record.duplicate_of else None
        return copied(record, original)

    def has_ended(self, trial: str) -> bool:
        """Whether a trial's result.json says that it has."""
        return (read_json(self.folder(trial) / "result.json", wrong_result) or {}).get("state") in FINAL

    def todo(self) -> list[TrialRecord]:
        """Trials that were begun or written down and have not ended."""
        return [record for record in self.trials() if not record.final]

    def write_trial(self, record: TrialRecord) -> None:
        """Write down a trial before it starts (its trial.json); the record's state must be an open one."""
        assert record.state in OPEN
        content = {name: getattr(record, name) for name in TRIAL_KEYS}
        content |= {name: value for name in LATER_KEYS if (value := getattr(record, name))}
        write_json(self.folder(record.id) / "trial.json", {"schema_version": SCHEMA_VERSION, **content})

    def mark(self, trial: str, **changes: Any) -> None:
        """Change keys of a trial.json: `state` (an open one), `mlflow_run_id`, `duplicate_of`, those of LATER_KEYS.

        Raises IllegalMove for a state that cannot follow the one there.
        """
        assert set(changes) <= {"state", "mlflow_run_id", "duplicate_of", *LATER_KEYS}
        assert changes.get("state", "pending") in OPEN
        path = self.folder(trial) / "trial.json"
        content = read_json(path, wrong_trial)
        if content is not None:
            if "state" in changes:
                move(trial, content["state"], changes["state"])
            write_json(path, {**content, **changes})

    def write_result(self, trial: str, state: str, reason: str | None = None, **fields: Any) -> bool:
        """Write the end of a trial into its result.json, keeping what is there already.

        What is not there is taken from the trial's metrics.jsonl: score, epoch, rung, floor. A final
        state is never overwritten: then nothing is written, and False is returned.
        """
        assert state in FINAL or state == "interrupted"
        path = self.folder(trial) / "result.json"
        before = read_json(path, wrong_result) or {}
        if before.get("state") in FINAL:
            return False
        there = read_json(self.folder(trial) / "trial.json", wrong_trial)
        if there is not None:
            move(trial, there["state"], state)
        reached = progress(self.folder(trial) / "metrics.jsonl")
        newer = {name: value for name, value in reached.items() if value not in (None, {})}
        base = {"schema_version": SCHEMA_VERSION, "environment": environment(), **reached}
        content = {**base, **before, **newer, **fields}
        write_json(path, content | {"state": state, "reason": reason} | _NO_SCORE.get(state, {}))
        return True

    def _folders(self) -> list[str]:
        """The names of all trials' folders, in order."""
        try:
            with os.scandir(self.directory / "trials") as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []

    def _read_folder(self, folder: Path, driven: bool) -> TrialRecord | None:
        return read_trial(folder, self.metric, self.epochs, driven, self.goals.at)


def _locked(lock: IO[str]) -> bool:
    """Try to lock a file; wait a moment where that fails."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        return False
    return True


def _foreign(path: Path) -> bool:
    """Whether a file is another than what a run has left that was killed before the study was written down."""
    return not path.name.startswith(".study.yaml.")


def _is_record(spec: Any) -> bool:
    """Whether the content of a study.yaml holds all that is read of it everywhere."""
    if not isinstance(spec, Mapping) or not {"study", "objective", "budget", "base", "scheduler", "seeds"} <= set(spec):
        return False
    goals = spec["objective"] if isinstance(spec["objective"], list) else [spec["objective"]]
    parts = [*(goals or [None]), spec["budget"], spec["base"], spec["scheduler"]]
    if not all(isinstance(part, Mapping) for part in parts) or not isinstance(spec["seeds"], list):
        return False
    return all(isinstance(goal.get("metric"), str) for goal in goals) and isinstance(spec["budget"].get("epochs"), int)


#: What such an end leaves of a score.
_NO_SCORE = {state: {"score": None, "metric": None} for state in SCORELESS}

__all__ = ["FINAL", "OPEN", "SCHEMA_VERSION", "StudyRecords", "TrialRecord"]
