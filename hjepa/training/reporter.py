"""What the training loop tells the world, and what the world may answer."""

from pathlib import Path
from typing import Any, Protocol


class Reporter(Protocol):
    """Where scores go: standalone nowhere, under Ray to Tune or Train."""

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        """Take the metrics of a rung or of the end; False asks the run to stop early."""
        ...


class Progress(Protocol):
    """Where a person watches."""

    def begin(self, facts: dict[str, Any]) -> None:
        """The run starts: device, threads, attention, parameters, steps, steps_done, images_per_step."""
        ...

    def step(self, done: int, total: int, metrics: dict[str, float]) -> None:
        """`done` of `total` optimiser steps; metrics hold loss, lr and images_per_second."""
        ...

    def scores(self, metrics: dict[str, Any]) -> None:
        """Scores of a rung or of a full probe."""
        ...


class Silent:
    """A Reporter and a Progress that do nothing and never stop a run."""

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        """Go on."""
        return True

    def begin(self, facts: dict[str, Any]) -> None:
        """Nothing."""

    def step(self, done: int, total: int, metrics: dict[str, float]) -> None:
        """Nothing."""

    def scores(self, metrics: dict[str, Any]) -> None:
        """Nothing."""
