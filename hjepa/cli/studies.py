"""From the shared flags to a study that is checked as deeply as it can be without data."""

import os
from pathlib import Path

from hjepa.cli.options import Asked
from hjepa.search.extension import continued
from hjepa.search.study import Study
from hjepa.search.warm_start import check_sources


def asked_for(asked: Asked) -> tuple[Study, Path]:
    """A study whose base, and every choice and bound, this machine could train, and its directory.

    What earlier runs there have added to it stays. Raises ConfigError.
    """
    study = Study.load(asked.file, sets=asked.sets or (), trials=asked.trials, epochs=asked.epochs, seeds=asked.seeds)
    directory = asked.output if asked.output is not None else Path("runs") / study.name
    study = continued(study, directory, extend=asked.extend, trials=asked.trials, seeds=asked.seeds)
    from hjepa.training import check  # only now: what is wrong in the file is said at once

    study.check(check)
    check_sources(study, directory)
    return study, directory


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
