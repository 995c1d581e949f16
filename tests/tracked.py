"""A study's files as a real run leaves them, made without training anything."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.models import Encoder
from hjepa.overrides import to_yaml
from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study
from hjepa.training import checkpoint
from tests.tiny import MODEL

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
#: Ends of the trials, and what each scored.
ENDS = [("completed", 0.5), ("early_stopped", 0.3), ("diverged", None), ("interrupted", 0.2), ("completed", 0.6)]


def without_page(patch: pytest.MonkeyPatch) -> None:
    """Leave the page, whose figures take seconds, out of the reports that are logged."""
    from hjepa.search.tracking import store

    patch.delitem(store.REPORTS, "report.html")


def make_records(make_study: MakeStudy, enter: Enter, directory: Path, **keys: Any) -> StudyRecords:
    """Five trials of as many configurations, with every file of a run."""
    study = make_study(base=MODEL, **keys)
    records = StudyRecords.create_or_open(directory, study, "data")
    for index, (state, score) in enumerate(ENDS):
        overrides = {"optim.lr": 0.001 * (1 + index)} if index else {}
        epochs = 4 if state == "completed" else 1
        metrics = {"probe_rung.top1": score} | ({"probe.top1": score} if state == "completed" else {})
        costs = {"seconds": 10.0 * epochs, "device_seconds": 10.0 * epochs, "parameters": 4000}
        trial = enter(records, study, index, overrides, state, epoch=epochs, score=score, metrics=metrics, **costs)
        write_run(trial, study, epochs=epochs, score=score)
    return records


def write_run(trial: TrialRecord, study: Study, *, epochs: int, score: float | None) -> None:
    """The experiment, the metrics and, where it has completed, the checkpoint of a trial."""
    config = study.config(trial.overrides, trial.seed)
    (trial.directory / "experiment.yaml").write_text(to_yaml(config))
    if trial.state == "completed":
        encoder = Encoder(config.model, config.grid).state_dict()
        weights = {f"target_encoder.{name}": value for name, value in encoder.items()}
        checkpoint.save(trial.directory / "checkpoint.pt", config, weights, {}, checkpoint.Progressed())
        write_json(trial.directory / "test.json", {"probe.top1": score})
    with (trial.directory / "metrics.jsonl").open("w") as file:
        for epoch in range(1, epochs + 1):
            for line in (
                {"kind": "step", "step": 10 * epoch, "epoch": float(epoch), "loss": 1.0 / epoch},
                {"kind": "rung", "step": 10 * epoch, "epoch": epoch, "probe_rung.top1": score, "features.std": None},
            ):
                file.write(json.dumps(line) + "\n")
        if trial.state == "completed":
            full = {"kind": "full", "step": 10 * epochs, "epoch": epochs, "probe.top1": score}
            file.write(json.dumps({**full, "features.effective_rank": math.sqrt(10 * epochs)}) + "\n")
