"""From the shared flags to a study that is checked as deeply as it can be without data."""

import os
from collections.abc import Sequence
from pathlib import Path

from hjepa.search.study import Study


def load_study(
    file: Path, sets: Sequence[str] | None, trials: int | None, epochs: int | None, seeds: int | None = None
) -> Study:
    """A study whose base, and every choice and bound, this machine could train. Raises ConfigError."""
    study = Study.load(file, sets=sets or (), trials=trials, epochs=epochs, seeds=seeds)
    from hjepa.training import check  # only now: what is wrong in the file is said at once

    study.check(check)
    return study


def directory_of(study: Study, output: Path | None) -> Path:
    """Where the study's results go."""
    return output if output is not None else Path("runs") / study.name


def resources_at(address: str | None) -> dict[str, float]:
    """Total resources of a running cluster, or of this machine. Raises ConfigError when no cluster answers."""
    if address is None:
        return local_resources()
    from hjepa.search.execution.session import cluster_resources

    return cluster_resources(address)


def local_resources() -> dict[str, float]:
    """Cores and accelerators of this machine, as a Ray cluster started on it would count them."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    accelerators = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    return {"CPU": float(cores), "GPU": float(accelerators)}
