"""What a driver sends to the process that runs a trial: plain data, with every path made absolute."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hjepa.config import Config

#: Variables that trials need wherever they run; the first two name folders. MLflow's are not among them: trials do not
#: talk to it, and Ray writes what it passes on into its logs.
FOLDERS = ("HJEPA_DATA", "HJEPA_CACHE")
PREFIX = "HJEPA_"


@dataclass(frozen=True)
class Order:
    """One trial to execute: `config` is the Config as JSON, `directory` the trial's folder.

    `test` also scores the test split at a completed end, into test.json: for what is reported as it is. `run` is the
    driver's, as it signed the study's lock: the trial ends with it.
    """

    id: str
    config: str
    directory: str
    study: str
    workers: int = 1
    cpus: int = 1
    gpus: float = 0.0
    test: bool = False
    run: str | None = None

    def pack(self) -> dict[str, Any]:
        """As Tune carries it: one string, so that Tune neither resolves nor lists its parts."""
        return {"id": self.id, "order": json.dumps(asdict(self))}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Order":
        """The order that `pack` packed."""
        return cls(**json.loads(packed["order"]))

    def parsed(self) -> Config:
        """The trial's Config."""
        return Config.model_validate_json(self.config)


def pinned(config: Config, cpus: int) -> Config:
    """The Config as a trial runs it: threads as many as its CPUs where none are given, folders absolute."""
    data = {name: str(Path(path).absolute()) for name in ("root", "cache") if (path := getattr(config.data, name))}
    runtime = {} if config.runtime.threads is not None else {"threads": cpus}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=data),
            "runtime": config.runtime.model_copy(update=runtime),
        }
    )


def passed_on(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables that trials need, folders absolute."""
    found = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    for name in FOLDERS:
        if name in found:
            found[name] = str(Path(found[name]).expanduser().absolute())
    return found
