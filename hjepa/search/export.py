"""A trial as one experiment file that trains alone and gives the same score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hjepa.config import Config
from hjepa.overrides import ConfigError, Layer, differences, identity, knobs, resolve, to_yaml
from hjepa.runtime.files import write_text
from hjepa.search.analysis import Standing, first, front, standings
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.selection import selection
from hjepa.search.study import Study

#: What decides the last bit of a result on one machine; recorded under these names in result.json.
PINNED = ("device", "precision", "attention", "threads")


def select(records: StudyRecords, trial: str | None) -> TrialRecord:
    """A trial by id, or (None) the first completed seed of the best configuration: the confirmed one where a
    confirmation says so. Raises ConfigError.
    """
    if trial is not None:
        return records.trial(trial)
    ranking = standings(records)
    if first(ranking) is None:
        why = (
            "every configuration is beyond a constraint" if ranking and ranking[0].broken else "no trial has completed"
        )
        raise ConfigError([f"{records.directory}: {why}; allowed --trial ID of a trial that ran"])
    chosen = None if "ablation" in records.spec else selection(records)["config"]
    best = next((standing for standing in ranking if standing.config == chosen), ranking[0])
    return _counted(records, best)


def on_front(records: StudyRecords) -> list[TrialRecord]:
    """The first seed that counts of each configuration on the Pareto front. Raises ConfigError where there is none."""
    if not records.goals.several:
        raise ConfigError([f"{records.directory}: has one objective, so no Pareto front; allowed --best or --trial ID"])
    found = front(standings(records), records.goals)
    if not found:
        raise ConfigError(
            [f"{records.directory}: no configuration may win yet; allowed --trial ID of a trial that ran"]
        )
    return [_counted(records, standing) for standing in found]


def _counted(records: StudyRecords, standing: Standing) -> TrialRecord:
    return next(record for record in standing.trials if records.goals.counts(record))


def standing_of(records: StudyRecords, trial: TrialRecord) -> str:
    """How far a trial's configuration is proven: what the report says of it, in a word or a line."""
    if "ablation" in records.spec:
        return "a cell of an ablation"
    chosen = selection(records)
    if chosen["config"] == trial.config:
        return f"selected, {chosen['state']}" if chosen["state"] == "unconfirmed" else str(chosen["words"][0])
    return "not what the search selected"


def export(records: StudyRecords, trial: TrialRecord, output: Path) -> Config:
    """Write a trial's experiment file, atomically, and return its Config. Raises ConfigError.

    Device, precision, attention kernel and threads are those that the trial resolved to.
    """
    study = Study.load(records.directory / "study.yaml")
    recorded = trial.result.get("environment") or {}
    config = _pinned(study.config(trial.settings, trial.seed), recorded, trial)
    fingerprint = trial.result.get("data_fingerprint")
    known = trial.result.get("identity")
    if fingerprint and known and identity(config, fingerprint) != known:
        raise ConfigError([f"{trial.id}: recorded by another version of the method; this one would not reproduce it"])
    if output.is_dir():
        raise ConfigError([f"{output}: is a directory; allowed a file for --output"])
    text = "".join(f"# {line}\n" for line in _header(records, trial, output)) + to_yaml(config)
    try:
        write_text(output, text)
    except OSError as error:
        raise ConfigError([f"{output}: cannot be written: {error.strerror}"]) from error
    return config


def _pinned(config: Config, recorded: Mapping[str, Any], trial: TrialRecord) -> Config:
    """The Config with the runtime that the trial resolved to."""
    settable = {name: knobs()[f"runtime.{name}"].choices for name in PINNED}
    # `attention: auto` may resolve to a rule over several kernels, which is no setting: auto finds it again.
    pins = {
        f"runtime.{name}": recorded[name]
        for name, choices in settable.items()
        if recorded.get(name) is not None and (choices is None or recorded[name] in choices)
    }
    if not pins:
        raise ConfigError(
            [f"{trial.id}: is {trial.state} and has no record of what it ran on; allowed a trial that ran"]
        )
    return resolve([Layer("the study", differences(config)), Layer(f"result.json of {trial.id}", pins)])


def _header(records: StudyRecords, trial: TrialRecord, output: Path) -> list[str]:
    recorded = trial.result.get("environment") or {}
    versions = recorded.get("versions") or {}
    at = trial.epoch if trial.scored_at is None else trial.scored_at
    score = "none" if trial.score is None else f"{trial.metric} {trial.score!r} at epoch {at}"
    if at != trial.epoch:
        score += f" (its checkpoint is of epoch {trial.epoch}, the last)"
    return [
        f"Trial {trial.id} ({trial.cell}) of the study {records.name}; state {trial.state}.",
        f"Score: {score} on the hold-out.",
        f"Selection: {standing_of(records, trial)}.",
        f"Identity: {trial.result.get('identity')}; data: {trial.result.get('data_fingerprint')}.",
        f"Ran on: {recorded.get('processor')}; {recorded.get('platform')}; commit {recorded.get('git_commit')}.",
        f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        "The same processor type, threads and versions give the same score again:",
        f"  hjepa-train {output.name}",
    ]
