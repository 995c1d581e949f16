"""An exported file is the trial: the same identity, on the same device, threads and kernel."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hjepa.overrides import ConfigError, identity, load_config
from hjepa.runtime.files import write_json
from hjepa.search.export import export, select
from hjepa.search.files import read_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]


@pytest.fixture
def records(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    """Two completed configurations, one with a condition, and one that never ran."""
    study = make_study(base={"model.layer_scale": 1e-5, "optim.lr": 3e-4}, seeds=[3])
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", seed=3, epoch=4, metrics={"probe.top1": 0.5})
    overrides = {"optim.lr": 0.002, "views.augmentation": "three_augment", "views.color_jitter": 0.2}
    enter(records, study, 1, overrides, "completed", seed=3, epoch=4, metrics={"probe.top1": 0.6})
    enter(records, study, 2, {"optim.lr": 0.003}, seed=3)
    return records


def test_the_best_trial_comes_back_with_its_identity_and_its_runtime(records: StudyRecords, tmp_path: Path) -> None:
    trial = select(records, None)
    assert trial.cell == "c1"
    output = tmp_path / "new" / "best.yaml"
    export(records, trial, output)
    config = load_config(output)
    assert identity(config, "data") == trial.result["identity"]
    assert (config.seed, config.views.color_jitter, config.model.layer_scale) == (3, 0.2, 1e-5)
    runtime = config.runtime
    assert (runtime.device, runtime.threads, runtime.precision, runtime.attention) == ("cpu", 1, "fp32", "math")
    header = [line for line in output.read_text().splitlines() if line.startswith("#")]
    text = "\n".join(header)
    for fact in (
        trial.id,
        "study t",
        "probe.top1 0.6 at epoch 4",
        "unconfirmed",
        str(trial.result["identity"]),
        "hjepa 0",
    ):
        assert fact in text


def test_a_trial_by_id(records: StudyRecords, tmp_path: Path) -> None:
    first = records.trials()[0]
    config = export(records, select(records, first.id), tmp_path / "first.yaml")
    assert config == load_config(tmp_path / "first.yaml")
    assert config.optim.lr == 3e-4


def test_a_resolved_kernel_that_is_no_setting_stays_auto(records: StudyRecords, tmp_path: Path) -> None:
    trial = records.trials()[0]
    result = {**trial.result, "environment": {**trial.result["environment"], "attention": "by_rule"}}
    write_json(trial.directory / "result.json", result)
    config = export(records, records.trial(trial.id), tmp_path / "x.yaml")
    assert (config.runtime.attention, config.runtime.threads) == ("auto", 1)


def test_a_trial_that_never_ran_is_refused(records: StudyRecords, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is pending and has no record of what it ran on"):
        export(records, records.trials()[2], tmp_path / "x.yaml")
    assert not (tmp_path / "x.yaml").exists()


def test_a_record_of_another_method_version_is_refused(records: StudyRecords, tmp_path: Path) -> None:
    trial = records.trials()[0]
    result = read_json(trial.directory / "result.json")
    assert result is not None
    write_json(trial.directory / "result.json", {**result, "identity": "0" * 16})
    with pytest.raises(ConfigError, match="recorded by another version"):
        export(records, records.trial(trial.id), tmp_path / "x.yaml")


def test_nothing_completed_is_one_line(make_study: MakeStudy, tmp_path: Path) -> None:
    empty = StudyRecords.create_or_open(tmp_path / "empty", make_study())
    with pytest.raises(ConfigError, match="no trial has completed"):
        select(empty, None)


def test_a_directory_is_no_file(records: StudyRecords, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        export(records, select(records, None), tmp_path)
