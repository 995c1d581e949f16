"""A trained encoder as an MLflow model: images -> embeddings, with signature and example, loadable and registerable.

No pickle: MLflow is told the module that loads it (`hjepa.search.tracking.served`) and given the encoder's weights as
data.
"""

import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException

from hjepa.search.tracking import served
from hjepa.training.load import write_encoder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of type hints of its own
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

#: The model's name within its run: `runs:/<run>/encoder`.
NAME = "encoder"
#: The tag of a run, and of a registered version, that names the model.
MODEL = "hjepa.model_id"
#: What must be installed to load it.
REQUIRED = ("hjepa", "torch", "mlflow")
#: Grey levels of the example; few digits each, so that the file stays small.
LEVELS = np.array([0.0, 0.25, 0.5, 0.75, 1.0], dtype=np.float32)


def log_model(client: MlflowClient, experiment: str, run: str, checkpoint: Path, about: Mapping[str, str]) -> str:
    """Log the encoder of a checkpoint as a model of a run; its id.

    Raises ConfigError for a checkpoint that cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "encoder.pt"
        write_encoder(checkpoint, file)  # before anything is logged: it may not be readable
        model = client.create_logged_model(experiment, name=NAME, source_run_id=run, tags=dict(about))
        place = Path(folder) / "model"
        _save(place, file, Model(model_id=model.model_id, run_id=run))
        client.log_model_artifacts(model.model_id, str(place))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def register(client: MlflowClient, name: str, model: str, run: str) -> str:
    """Register a logged model under a name, once; its version there. Raises MlflowException."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for known in client.search_model_versions(f"name = '{name}'"):
        if known.tags.get(MODEL) == model:
            return str(known.version)
    made = client.create_model_version(name, f"models:/{model}", run_id=run, tags={MODEL: model}, model_id=model)
    return str(made.version)


def _save(place: Path, file: Path, model: Model) -> None:
    """Write the model's folder, as MLflow lays it out."""
    loaded = served.Served(file)
    example = _example(loaded.size)
    embeddings = loaded.predict(example)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(embeddings.dtype, (-1, *embeddings.shape[1:]))]),
    )
    mlflow.pyfunc.save_model(
        place,
        loader_module=served.__name__,
        data_path=file,
        signature=signature,
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED],
        mlflow_model=model,
    )


def _example(size: int) -> np.ndarray:
    """One image of slanted stripes, float32 [1, 3, size, size] from 0 to 1."""
    rows, columns, channels = np.mgrid[:size, :size, :3]
    return np.ascontiguousarray(LEVELS[(rows + columns * (1 + channels)) % len(LEVELS)].transpose(2, 0, 1)[None])
