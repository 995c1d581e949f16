"""Checkpoints: atomic, loadable without running code, with the configuration inside."""

import io
import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hjepa.config import Config
from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_bytes

FORMAT = 1
#: What torch and pickle raise for damaged bytes.
_UNREADABLE = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, LookupError, ValueError, OSError, TypeError),
    *(AttributeError, AssertionError, OverflowError),
)


@dataclass
class Progressed:
    """Where a run stands besides its weights: what a resumed run continues from.

    Random streams are functions of (seed, step), so `step` is the whole random state.
    """

    step: int = 0
    epoch: int = 0
    rung: int | None = None
    seconds: float = 0.0
    probe_seconds: float = 0.0
    train_seconds: float = 0.0
    metrics_bytes: int = 0
    floor: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    monitor: dict[str, Any] | None = None


def save(path: Path, config: Config, weights: dict[str, Any], optimiser: dict[str, Any], at: Progressed) -> None:
    """Write a checkpoint atomically."""
    content = {
        "format": FORMAT,
        "config": config.model_dump_json(),
        "model": weights,
        "optimiser": optimiser,
        "progress": json.dumps(at.__dict__),
        "random": {"seed": config.seed, "step": at.step},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> tuple[Config, dict[str, Any], dict[str, Any], Progressed]:
    """Config, weights, optimiser state and progress. Raises ConfigError when it cannot be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        config = Config.model_validate_json(content["config"])
        return config, content["model"], content["optimiser"], Progressed(**json.loads(content["progress"]))
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such checkpoint"]) from None
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError([f"{path}: not a readable checkpoint: {first}"]) from error


def find(path: Path) -> Path:
    """The checkpoint file of a run directory, or the file itself."""
    return path / "checkpoint.pt" if os.path.isdir(path) else path
