"""The training loop. Nothing here knows of Ray, Optuna or MLflow."""

from hjepa.training.build import Run, build, check, parameters
from hjepa.training.load import FrozenEncoder, load_encoder
from hjepa.training.reporter import Progress, Reporter, Silent
from hjepa.training.train import train

__all__ = [
    "FrozenEncoder",
    "Progress",
    "Reporter",
    "Run",
    "Silent",
    "build",
    "check",
    "load_encoder",
    "parameters",
    "train",
]
