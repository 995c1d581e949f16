"""The best encoder is an MLflow model: its embeddings are the encoder's, and it is registered and loaded by name."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import hjepa
from hjepa.cli.search import main
from hjepa.overrides import ConfigError
from hjepa.search.records import StudyRecords
from hjepa.search.tracking.address import default_uri
from hjepa.search.tracking.mirror import register_model, sync
from tests.tracked import Enter, MakeStudy, make_records, without_page

pytestmark = pytest.mark.slow


@pytest.fixture
def records(
    make_study: MakeStudy, enter: Enter, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> StudyRecords:
    """Five trials, the last the best; the process's own MLflow looks at their store."""
    without_page(monkeypatch)
    records = make_records(make_study, enter, tmp_path / "study")
    (records.directory / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", default_uri(records.directory))
    monkeypatch.chdir(tmp_path)
    return records


def test_the_best_encoder_is_a_model_of_its_run_and_can_be_registered(records: StudyRecords) -> None:
    assert sync(records) == []
    best = records.trials()[4]
    client = MlflowClient()
    tags = client.get_run(str(best.mlflow_run_id)).data.tags
    loaded = mlflow.pyfunc.load_model(f"models:/{tags['hjepa.model_id']}")

    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    expected = hjepa.load_encoder(best.directory)(images).numpy()
    signature = loaded.metadata.signature
    (given,), (returned,) = signature.inputs.inputs, signature.outputs.inputs
    assert (given.type, given.shape[:2]) == (np.dtype("float32"), (-1, 3))
    assert (returned.type, returned.shape) == (np.dtype("float32"), (-1, expected.shape[1]))
    example = loaded.metadata.load_input_example(loaded.metadata.get_model_info().model_uri)
    assert example.shape[1:] == given.shape[1:]

    size = given.shape[2]
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    expected = hjepa.load_encoder(best.directory)(images).numpy()
    np.testing.assert_array_equal(loaded.predict((images / 255).numpy()), expected)
    with pytest.raises(mlflow.exceptions.MlflowException):
        loaded.predict(np.zeros((1, 1, size, size), dtype=np.float32))

    assert register_model(records, best, "hierarchical") == "1"
    assert register_model(records, best, "hierarchical") == "1", "the same model is one version"
    assert register_model(records, records.trials()[0], "hierarchical") == "2"
    named = mlflow.pyfunc.load_model("models:/hierarchical/1")
    np.testing.assert_array_equal(named.predict((images / 255).numpy()), expected)
    by_run = mlflow.pyfunc.load_model(f"runs:/{best.mlflow_run_id}/encoder")
    np.testing.assert_array_equal(by_run.predict((images / 255).numpy()), expected)


def test_once_and_without_what_only_training_needs(records: StudyRecords) -> None:
    for _ in range(2):
        assert sync(records) == []
    client = MlflowClient()
    experiment = client.get_experiment_by_name("t")
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert model.source_run_id == records.trials()[4].mlflow_run_id
    assert model.status == "READY"


def test_from_the_command_line(records: StudyRecords, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(records.directory), "--best", "--model", "hierarchical", "--output", "best.yaml"])
    out = capsys.readouterr().out
    assert (ended.value.code, out.count("best.yaml")) == (0, 2)
    assert 'load it with: mlflow.pyfunc.load_model("models:/hierarchical/1")' in out
    assert f"hierarchical version 1: trial {records.trials()[4].id}" in out


def test_what_cannot_be_registered_is_one_line(records: StudyRecords) -> None:
    sync(records)
    with pytest.raises(ConfigError, match="has no checkpoint"):
        register_model(records, records.trials()[1], "hierarchical")
    with pytest.raises(ConfigError, match="--model: got a/b"):
        register_model(records, records.trials()[4], "a/b")
