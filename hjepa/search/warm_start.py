"""What a search knows before it begins: trials of earlier studies, and configurations to try first.

Every source is read once; what was taken of it, and why the rest was not, is kept in the study's directory.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from hjepa.config import Config, rung_metric
from hjepa.overrides import ConfigError, knobs, load_config, problem, shown, values_of
from hjepa.runtime.files import write_json
from hjepa.search.files import read_json
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study, config_hash
from hjepa.search.trial_record import TrialRecord, history

#: What was taken, in the study's directory.
FILE = "warm_start.json"
Fingerprint = Callable[[Config], str]


@dataclass(frozen=True)
class Known:
    """A configuration that another study ran: its values in this space, and what came of it, mean over its seeds."""

    overrides: Mapping[str, Any]
    outcome: str
    value: float | None
    history: Mapping[int, float]


@dataclass(frozen=True)
class Taken:
    """What one source gave a study of so many epochs, and a line that says so."""

    epochs: int
    known: tuple[Known, ...] = ()
    first: tuple[Mapping[str, Any], ...] = ()
    line: str = ""


@dataclass(frozen=True)
class WarmStart:
    """What all sources gave: configurations that are known, those to try first, and a line a source."""

    known: tuple[Known, ...] = ()
    first: tuple[Mapping[str, Any], ...] = ()
    lines: tuple[str, ...] = ()


def check_sources(study: Study, directory: Path) -> None:
    """Raise ConfigError for a source that is not there, and was not read before, or of which nothing is learned."""
    read, kind = _kept(directory), study.spec.sampler.type
    wrong = [
        problem("warm_start", str(source), "the directory of a study, or an experiment file", source=study.source)
        for source in study.warm_start
        if _key(study, source) not in read and not (source.is_file() or (source / "study.yaml").is_file())
    ]
    if kind in ("random", "grid", "cmaes"):  # the last learns of what it has proposed itself
        files = f"experiment files with sampler.type {kind}, which learns nothing of an earlier study"
        wrong += [
            problem("warm_start", str(source), files, source=study.source)
            for source in study.warm_start
            if source.is_dir()
        ]
    if wrong:
        raise ConfigError(wrong)


def warm_start(study: Study, directory: Path, fingerprint: Fingerprint) -> WarmStart:
    """Read the sources that have not been read before, write down what they gave, and return all of it.

    `fingerprint` is that of the data a Config reads. Raises ConfigError for a source that cannot be read.
    """
    taken = _kept(directory)
    new = [source for source in study.warm_start if _key(study, source) not in taken]
    if new:
        taken |= {_key(study, source): _taken(study, source, fingerprint) for source in new}
        write_json(directory / FILE, {key: asdict(part) for key, part in taken.items()})
    return _joined([part for part in taken.values() if part.epochs == study.epochs])


def lines(directory: Path) -> tuple[str, ...]:
    """What was taken of each source, in words; nothing where a study had none."""
    return _joined(list(_kept(directory).values())).lines


def _key(study: Study, source: Path) -> str:
    return f"{source} at {study.epochs} epochs"


def _joined(parts: Sequence[Taken]) -> WarmStart:
    return WarmStart(
        tuple(known for part in parts for known in part.known),
        tuple(first for part in parts for first in part.first),
        tuple(part.line for part in parts),
    )


def _kept(directory: Path) -> dict[str, Taken]:
    return {key: _parsed(part) for key, part in (read_json(directory / FILE, _wrong) or {}).items()}


def _parsed(part: Mapping[str, Any]) -> Taken:
    known = tuple(
        Known(k["overrides"], k["outcome"], k["value"], {int(epoch): v for epoch, v in k["history"].items()})
        for k in part["known"]
    )
    return Taken(part["epochs"], known, tuple(part["first"]), part["line"])


def _wrong(content: Mapping[str, Any]) -> str | None:
    """What makes a mapping no record of a warm start."""
    try:
        for part in content.values():
            _parsed(part)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"not what was written: {error!r}"
    return None


def _taken(study: Study, source: Path, fingerprint: Fingerprint) -> Taken:
    return _of_file(study, source) if source.is_file() else _of_study(study, source, fingerprint)


def _of_file(study: Study, file: Path) -> Taken:
    """An experiment file's values in this space; all else of it is the study's."""
    config = load_config(file)
    found = _placed(study, config)
    if isinstance(found, str):
        return Taken(study.epochs, line=f"warm start: {file}: not taken: {found}")
    try:
        own = study.config(found, config.seed)
    except ConfigError as error:
        return Taken(study.epochs, line=f"warm start: {file}: not taken: {error.problems[0]}")
    other = _differing(config, own)
    rest = f"; the study's own {', '.join(other[:3])} go for the file's" if other else ""
    rest += f", and {len(other) - 3} more" if len(other) > 3 else ""
    return Taken(study.epochs, first=(found,), line=f"warm start: {file}: tried first{rest}")


def _of_study(study: Study, place: Path, fingerprint: Fingerprint) -> Taken:
    """The configurations of a study that this one would score the same, by its own objective."""
    there = StudyRecords.open(place)
    epochs = study.epochs if there.trials_at(study.epochs) else there.epochs
    other = Study.load(place / "study.yaml", epochs=epochs)
    records = StudyRecords(there.directory, {**there.spec, "objective": study.resolved()["objective"]})
    groups: dict[str, list[TrialRecord]] = {}
    for trial in records.trials_at(epochs):
        if trial.duplicate_of is None:
            groups.setdefault(trial.config, []).append(trial)
    taken, refused = [], Counter[str]()
    for group in groups.values():
        found = _known(study, other, group, rung_metric(records.metric), fingerprint)
        if isinstance(found, str):
            refused[found] += 1
        else:
            taken.append(found)
    why = "; ".join(f"{count} with {reason}" for reason, count in refused.most_common())
    text = f"{len(taken)} of {len(groups)} configurations taken{f'; not: {why}' if why else ''}"
    return Taken(study.epochs, known=tuple(taken), line=f"warm start: {place}: {text}")


def _known(
    study: Study, other: Study, group: Sequence[TrialRecord], rung: str, fingerprint: Fingerprint
) -> Known | str:
    """A configuration of another study, by its seeds; or why it is not taken. `rung` is the metric at rungs."""
    if any(trial.state not in ("completed", "early_stopped") or trial.score is None for trial in group):
        return "no score on every seed"
    try:
        config = other.config(group[0].settings, group[0].seed)
        found = _placed(study, config)
        if isinstance(found, str):
            return found
        own = study.config(found, group[0].seed)
    except ConfigError:
        return "settings that this version or this study refuses"
    data = fingerprint(own)
    if config_hash(own, data) != group[0].config:
        return _unlike(config, own, group[0], data)
    curves = [history(trial, rung) for trial in group]
    shared = set.intersection(*(set(curve) for curve in curves))
    means = {epoch: fmean(curve[epoch] for curve in curves) for epoch in sorted(shared)}
    if study.spec.score.at == "final_budget" and any(trial.state == "early_stopped" for trial in group):
        return Known(found, "pruned", None, means) if means else "no score at a rung"
    return Known(found, "completed", fmean(trial.score or 0.0 for trial in group), means)


def _placed(study: Study, config: Config) -> dict[str, Any] | str:
    """A configuration's values of the dimensions that exist for it; or which of them lies outside its range."""
    values, assigned = values_of(config), dict[str, Any]()
    for dimension in study.space.dimensions:
        if study.space.is_active(dimension, assigned):
            value = values[dimension.path]
            if not dimension.contains(value):
                return f"{dimension.path} {shown(value)} outside the space"
            assigned[dimension.path] = value
    return assigned


def _unlike(config: Config, own: Config, trial: TrialRecord, data: str) -> str:
    """Why a configuration is not the same one here."""
    if trial.result.get("data_fingerprint") not in (None, data):
        return "other data"
    different = _differing(config, own)
    return f"other settings ({', '.join(different[:3])})" if different else "another version of the method"


def _differing(config: Config, own: Config) -> list[str]:
    """The fixed settings in which a configuration differs from this study's, but for the seed and the runtime."""
    there, here = values_of(config), values_of(own)
    free = {"seed", *(path for path, knob in knobs().items() if knob.effect.startswith("runtime"))}
    return [path for path in here if path not in free and there[path] != here[path]]
