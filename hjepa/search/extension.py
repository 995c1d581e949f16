"""What runs before this one have added to a study: trials and seeds, which a study file does not know of."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hjepa.overrides import ConfigError, problem
from hjepa.search.files import read_json
from hjepa.search.records import EXTENSION, StudyRecords, TrialRecord
from hjepa.search.same_study import differences
from hjepa.search.study import Study


def continued(
    study: Study, directory: Path, *, extend: int | None = None, trials: int | None = None, seeds: int | None = None
) -> Study:
    """The study as the runs in its directory have left it, with `extend` more configurations.

    What a study file asks for is the least: trials and seeds that were added stay, unless `trials` or `seeds` (those of
    the command line) say how many there are to be. The same extension asked for again before it has ended is the same.
    Raises ConfigError for an extension of nothing, of an ablation, or beside `trials`, and for members that would come
    too late to a population.
    """
    _refuse(study, directory, extend, trials)
    if not (directory / "study.yaml").is_file():
        return study
    records = StudyRecords.open(directory)
    if differences(records.spec, {**study.resolved(), "seeds": records.spec["seeds"]}):  # another study: run says so
        return study
    update: dict[str, Any] = {}
    known = tuple(int(seed) for seed in records.spec["seeds"])
    if seeds is None and set(study.spec.seeds) <= set(known):
        update["seeds"] = known
    if study.design is None and trials is None:
        total = max(study.spec.budget.trials or 0, _so_far(records, study))
        if extend is not None:
            total = _extended(records, study, total, extend)
        update["budget"] = study.spec.budget.model_copy(update={"trials": total})
    found = replace(study, spec=study.spec.model_copy(update=update))
    if study.spec.scheduler.type == "pbt":
        flags = {"--extend": extend, "--trials": trials, "budget.trials": found.spec.budget.trials}
        _refuse_late(records, found, flags)
    return found


def _refuse_late(records: StudyRecords, study: Study, flags: Mapping[str, int | None]) -> None:
    """A population whose members have been compared takes no more: they would have no part in what it did."""
    compared = any(trial.promoted is not None for trial in records.trials_at(study.epochs))
    members, asked = _so_far(records, study), study.spec.budget.trials or 0
    if compared and asked > members:
        name, value = next((name, value) for name, value in flags.items() if value is not None)
        most = "none" if name == "--extend" else f"at most {members}"
        why = f"the population in {records.directory} has been compared, and who comes later would have no part in it"
        raise ConfigError([problem(name, value, f"{most}: {why}", source=study.source)])


def _refuse(study: Study, directory: Path, extend: int | None, trials: int | None) -> None:
    if extend is None:
        return
    wrong = None
    if extend < 1:
        wrong = "at least 1"
    elif study.design is not None:
        wrong = "only with a space; an ablation has --seeds"
    elif trials is not None:
        wrong = "only without --trials, which says how many there are in all"
    elif not (directory / "study.yaml").is_file():
        wrong = f"only for a study that has run; {directory} holds none"
    if wrong is not None:
        raise ConfigError([problem("--extend", extend, wrong, source=study.source)])


def _so_far(records: StudyRecords, study: Study) -> int:
    """Configurations that the runs so far were asked for, or have written down, at these epochs."""
    asked = records.spec["budget"].get("trials") if records.epochs == study.epochs else None
    return max(_written(records.trials_at(study.epochs)), int(asked or 0))


def _written(trials: list[TrialRecord]) -> int:
    return len({trial.index for trial in trials})


def _extended(records: StudyRecords, study: Study, total: int, by: int) -> int:
    """So many in all; the total so far where it is this extension's, and that has not ended."""
    last = read_json(records.directory / EXTENSION, _wrong) or {}
    same = last.get("by") == by and last.get("trials") == total
    trials = records.trials_at(study.epochs)
    ended = _written(trials) >= total and all(trial.final for trial in trials)
    return total if same and not ended else total + by


def _wrong(content: Mapping[str, Any]) -> str | None:
    return None if isinstance(content.get("by"), int) and isinstance(content.get("trials"), int) else "no numbers"
