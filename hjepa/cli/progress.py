"""What a person sees of a run while it trains; on stderr."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SHOWN = ("probe.top1", "probe_rung.top1", "knn.top1", "knn_rung.top1")


class TrainingProgress:
    """A bar over the optimiser steps, with the loss, images/s and time left, and one line for each probe."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("steps"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task("steps", total=None, facts="")

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar.live.is_started:
            self.bar.stop()

    def begin(self, facts: dict[str, Any]) -> None:
        """Say on what, with what and how long the run trains."""
        self.console.print(
            f"{facts['device']}, {facts['threads']} threads, {facts['precision']}, attention {facts['attention']}; "
            f"{facts['parameters']:,} parameters; {facts['dataset']}, {facts['images']:,} images; "
            f"{facts['epochs']} epochs of {facts['steps'] // max(1, facts['epochs']):,} steps",
            soft_wrap=True,
        )
        self.bar.start()  # only now: a mistake in the settings shows no bar
        self.bar.update(self.task, total=facts["steps"], completed=facts["steps_done"])

    def step(self, done: int, total: int, metrics: dict[str, float]) -> None:
        """Move the bar."""
        facts = f"loss {metrics['loss']:.4f}  {metrics['images_per_second']:,.0f} images/s"
        self.bar.update(self.task, total=total, completed=done, facts=facts)

    def scores(self, metrics: dict[str, Any]) -> None:
        """Print the accuracies of a probe."""
        found = [f"{name} {metrics[name]:.3f}" for name in SHOWN if metrics.get(name) is not None]
        self.console.print(f"epoch {metrics['epoch']}: " + ", ".join(found), soft_wrap=True)
