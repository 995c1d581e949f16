"""What a trial's files say, as MLflow holds it: parameters, tags, metrics with step and time. Pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hjepa.overrides import knobs, live, load_config, values_of
from hjepa.search.trial_record import TrialRecord

#: MLflow's own limits on a value.
PARAM_LENGTH, TAG_LENGTH = 6000, 5000
#: Tags by which runs are found and filtered.
STUDY, KIND, TRIAL, STATE = "hjepa.study_id", "hjepa.kind", "hjepa.trial", "hjepa.state"
#: Tags of a study that is part of another one: the other's id, and its own folder in the other's directory.
WITHIN, FOLDER = "hjepa.within", "hjepa.folder"
#: Tag of a study: how the command line that logged it named it.
PLACE = "hjepa.place"
#: The files from which a trial's record can be built again.
RECORD = ("trial.json", "result.json", "metrics.jsonl", "test.json", "experiment.yaml")
#: What a trial cost, from its result.
COSTS = ("seconds", "device_seconds", "peak_memory_bytes", "parameters")
_STATUS = {
    "completed": "FINISHED",
    "duplicate": "FINISHED",
    "early_stopped": "KILLED",
    "preempted": "KILLED",
    "interrupted": "KILLED",
    "running": "RUNNING",
    "diverged": "FAILED",
    "collapsed": "FAILED",
    "out_of_memory": "FAILED",
    "failed": "FAILED",
}


class Point(NamedTuple):
    """One value of a metric; `time` in milliseconds."""

    name: str
    value: float
    time: int
    step: int


def status(state: str) -> str:
    """MLflow's word for a state; the tag `hjepa.state` is more exact. What waits is scheduled."""
    return _STATUS.get(state, "SCHEDULED")


def params(trial: TrialRecord) -> dict[str, str]:
    """Every live setting of the trial. Raises ConfigError for a file that this version cannot read."""
    path = trial.directory / "experiment.yaml"
    if not path.is_file():
        return {}
    values = values_of(load_config(path))
    return texts({name: values[name] for name, knob in knobs().items() if live(knob, values) is None})


def facts(trial: TrialRecord) -> dict[str, str]:
    """What a trial's tags say."""
    result, machine = trial.result, trial.result.get("environment") or {}
    found = {
        STATE: trial.state,
        "hjepa.reason": trial.reason,
        "hjepa.index": trial.index,
        "hjepa.cell": trial.cell,
        "hjepa.seed": trial.seed,
        "hjepa.config": trial.config,
        "hjepa.identity": result.get("identity"),
        "hjepa.metric": trial.metric,
        "hjepa.epoch": trial.epoch,
        "hjepa.scored_at": trial.scored_at,
        "hjepa.rung": trial.rung,
        "hjepa.duplicate_of": trial.duplicate_of,
        "hjepa.retried": trial.retried,
        "hjepa.micro_batch": trial.micro_batch,
        "hjepa.lineage": trial.inherited,
        "hjepa.overrides": json.dumps(dict(trial.overrides)),
        "mlflow.source.git.commit": machine.get("git_commit"),
    }
    found |= {f"hjepa.floor.{name}": value for name, value in trial.floor.items() if name.endswith("probe.top1")}
    for name, value in machine.items():
        if name == "versions":
            found |= {f"hjepa.version.{library}": version for library, version in value.items()}
        elif name != "git_commit":
            found[f"hjepa.{name}"] = value
    return {name: text(value)[:TAG_LENGTH] for name, value in found.items() if value is not None}


def lines(trial: TrialRecord) -> Iterator[list[Point]]:
    """The metrics of each whole line of metrics.jsonl: optimiser steps by step, scores by epoch; nulls left out.

    No line says when it was written: times go in proportion to the epochs from the trial's start to its last line.
    """
    entries = _entries(trial.directory / "metrics.jsonl")
    start, last = span(trial)
    final = max((float(entry["epoch"]) for entry in entries if entry), default=0.0) or 1.0
    for entry in entries:
        if not entry:
            yield []
            continue
        scores = entry["kind"] != "step"
        step = int(entry["epoch" if scores else "step"])
        time = round(start + (last - start) * float(entry["epoch"]) / final)
        named = [(n, v) for n, v in entry.items() if isinstance(v, int | float) and n not in ("step", "epoch")]
        yield [Point(name, float(value), time, step) for name, value in named]


def ending(trial: TrialRecord) -> list[Point]:
    """The score of a trial that has ended, and what it cost."""
    values = {"score": trial.score} | {name: trial.result.get(name) for name in COSTS}
    at = span(trial)[1]
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return [Point(name, float(value), at, trial.epoch or 0) for name, value in numbers.items()]


def span(trial: TrialRecord) -> tuple[int, int]:
    """When a trial started and when it last wrote, in milliseconds, from its files' times."""
    begun = modified(trial.directory / "experiment.yaml") or modified(trial.directory / "trial.json")
    return begun, max(begun, modified(trial.directory / "metrics.jsonl"))


def present(folder: Path, names: Sequence[str]) -> list[Path]:
    """Those of the named files that a folder holds."""
    return [folder / name for name in names if (folder / name).is_file()]


def digest(files: Sequence[Path]) -> str:
    """A short name of the files' content. What a mirror writes into a trial.json itself does not count."""
    found = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        if file.name == "trial.json":
            tree = json.loads(content)
            content = json.dumps({key: value for key, value in tree.items() if key != "mlflow_run_id"}).encode()
        found.update(f"{file.name} {len(content)} ".encode() + content)
    return found.hexdigest()[:16]


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as parameters."""
    return {name: text(value) for name, value in values.items()}


def text(value: Any) -> str:
    """A value as MLflow shows it, cut at its limit."""
    return (value if isinstance(value, str) else json.dumps(value))[:PARAM_LENGTH]


def _entries(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; an empty one for each that cannot be read."""
    try:
        written = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [_entry(line) for line in written.splitlines(keepends=True) if line.endswith("\n")]


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and {"kind", "step", "epoch"} <= set(entry) else {}


def modified(path: Path) -> int:
    """When a file was last written, in milliseconds; 0 where there is none."""
    return int(path.stat().st_mtime * 1000) if path.is_file() else 0
