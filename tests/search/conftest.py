"""A small study on disk, made without training anything."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import identity, yaml12
from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study, cell_name, config_hash, trial_id

SPACE = {
    "optim.lr": {"log_uniform": [1e-4, 1e-2]},
    "views.augmentation": {"choice": ["none", "three_augment"]},
    "views.color_jitter": {"uniform": [0.1, 0.5], "step": 0.1},
}
ENVIRONMENT = {
    "processor": "cpu",
    "platform": "test",
    "git_commit": None,
    "versions": {"hjepa": "0"},
    "device": "cpu",
    "threads": 1,
    "precision": "fp32",
    "attention": "math",
}

MakeStudy = Callable[..., Study]


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Write a study file; keyword arguments replace its keys."""

    def write(**keys: Any) -> Path:
        tree: dict[str, Any] = {"study": "t", "budget": {"trials": 6, "epochs": 4}, "space": SPACE, **keys}
        path = tmp_path / "study_file.yaml"
        path.write_text(yaml12.dump({name: value for name, value in tree.items() if value != "<absent>"}))
        return path

    return write


@pytest.fixture
def make_study(write_study: Callable[..., Path]) -> MakeStudy:
    """A loaded study; keyword arguments replace keys of its file."""
    return lambda **keys: Study.load(write_study(**keys))


@pytest.fixture
def enter(tmp_path: Path) -> Callable[..., TrialRecord]:
    """Enter a trial, and its end, into records."""

    def enter(
        records: StudyRecords,
        study: Study,
        index: int,
        overrides: Mapping[str, Any],
        state: str = "pending",
        *,
        seed: int = 0,
        **result: Any,
    ) -> TrialRecord:
        config = study.config(overrides, seed)
        name = config_hash(config, "data")
        trial = trial_id(name, seed)
        folder = records.folder(trial)
        records.write_trial(TrialRecord(trial, index, name, cell_name(index), seed, overrides, "pending", folder))
        if state != "pending":
            floor = {"probe.top1": 0.2, "probe_rung.top1": 0.1, "pixels.probe.top1": 0.25}
            facts = {"identity": identity(config, "data"), "data_fingerprint": "data", "environment": ENVIRONMENT}
            content = {"state": state, "reason": None, "floor": floor, "rung": 0, **facts, **result}
            write_json(folder / "result.json", content)
        return records.trial(trial)

    return enter


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; making one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's use of SQLAlchemy 2.1
        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path
