"""A study as a table for notebooks: one row for each trial and epoch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from hjepa.search.files import last_lines
from hjepa.search.records import StudyRecords
from hjepa.search.trial_record import TrialRecord

#: Columns that every row has, in order; settings that the study varies and metrics follow.
COLUMNS = ("trial", "cell", "config", "seed", "state", "score", "epoch")


def frame(directory: Path | str) -> pandas.DataFrame:
    """One row a trial and epoch: who, the settings its score is of, and what was measured by the end of that epoch.

    `score` is the trial's own, the same in all its rows. An epoch's losses are those of its last logged step. A
    trial without a measurement has one row, without an epoch. Raises ConfigError where there is no study.
    """
    records = StudyRecords.open(directory)
    trials = records.trials()
    folders = {trial.id: trial.directory for trial in trials}
    rows = [row for trial in trials for row in _rows(trial, folders.get(trial.duplicate_of or "", trial.directory))]
    settings = list(dict.fromkeys(path for trial in trials for path in trial.trained))
    metrics = list(dict.fromkeys(name for row in rows for name in row if name not in (*COLUMNS, *settings)))
    table = pandas.DataFrame(rows, columns=[*COLUMNS, *settings, *metrics])
    return table.astype({"epoch": "Int64"})


def _rows(trial: TrialRecord, folder: Path) -> list[dict[str, Any]]:
    """The epochs of a trial; those of a duplicate are its original's."""
    same = {name: getattr(trial, name) for name in COLUMNS if name not in ("trial", "epoch")}
    known = {"trial": trial.id, **same, **trial.trained}
    epochs: dict[int, dict[str, Any]] = {}
    for line in last_lines(folder / "metrics.jsonl", ("step", "rung", "full")):
        if isinstance(line.get("epoch"), int | float):
            epochs.setdefault(math.ceil(line["epoch"]), {}).update(_measured(line))
    if not epochs:
        return [{**known, "epoch": None}]
    return [{**known, **epochs[epoch], "epoch": epoch} for epoch in sorted(epochs)]


def _measured(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("kind", "epoch") and value is not None}
