"""The training loop: epochs, rungs, checkpoints, and the end of a run in exactly one state."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hjepa.evaluation import CollapseMonitor
from hjepa.models import Encoder
from hjepa.optim import averaged, restore
from hjepa.overrides import ConfigError, identity, to_yaml
from hjepa.runtime.files import set_aside, write_text
from hjepa.training import checkpoint
from hjepa.training.build import Run
from hjepa.training.checkpoint import Progressed
from hjepa.training.files import MetricsFile
from hjepa.training.reporter import Progress, Reporter
from hjepa.training.soup import Soup
from hjepa.training.term_gradients import GRADIENT

LOG = logging.getLogger("hjepa.training")

#: Optimiser steps between looks at the loss; reading it makes the device wait.
LOOK = 10
#: How the levels' weights are named in a step's report.
WEIGHT = "weight."


class Diverged(Exception):
    """The loss or the gradient is not finite."""


class Collapsed(Exception):
    """The features have lost their variety."""


class Stopped(Exception):
    """The reporter asked for an early stop."""


class Loop:
    """One run in one directory."""

    def __init__(self, run: Run, directory: Path, reporter: Reporter, progress: Progress) -> None:
        self.run = run
        self.directory = directory
        self.reporter = reporter
        self.progress = progress
        self.at = Progressed()
        self.monitor = CollapseMonitor()
        self.metrics: MetricsFile | None = None
        self.weights: dict[str, float] = {}
        #: Why a run that had a checkpoint begins at epoch 0.
        self.begun_again: str | None = None
        self.session_start = time.perf_counter()
        self.soup: Soup | None = None
        if run.config.evaluation.soup != "none" and run.workers.first:
            self.soup = Soup(run.config, directory, identity(run.config, run.dataset.fingerprint))

    @property
    def checkpoint_path(self) -> Path:
        """Where this run's checkpoint lies."""
        return self.directory / "checkpoint.pt"

    def resume(self, *, anew: bool = False) -> bool:
        """Continue from the directory's checkpoint, if there is one; True when there was.

        Raises ConfigError for one that cannot be read; with `anew` it is set aside, and the run begins again.
        """
        if not self.checkpoint_path.exists():
            return False
        try:
            _, weights, optimiser, self.at = checkpoint.load(self.checkpoint_path)
        except ConfigError as error:
            if not anew:
                raise
            self.begun_again = self._without_checkpoint(str(error))
            return False
        self.run.model.load_state_dict(weights)
        restore(self.run.optimiser, optimiser)
        if self.at.monitor is not None:
            self.monitor.load(self.at.monitor)
        if self.soup is not None:
            self.soup.refuse_missing(self.at.epoch)
        return True

    def _without_checkpoint(self, why: str) -> str:
        with contextlib.suppress(FileNotFoundError):  # another worker was first
            set_aside(self.checkpoint_path)
        text = f"begun again from epoch 0, as its checkpoint was set aside ({why})"
        LOG.warning("%s: %s", self.directory.name, text)
        return text

    def execute(self) -> None:
        """Train to the end. Raises Diverged, Collapsed or Stopped when it ends before."""
        run = self.run
        self._open_files()
        facts = run.resolved() | {
            "parameters": sum(p.numel() for p in run.model.trainable().values()),
            "steps": run.steps,
            "steps_done": self.at.step,
            "images_per_step": run.config.optim.batch_size,
            "dataset": run.dataset.name,
            "images": run.dataset.epoch_images,
            "epochs": run.config.training.epochs,
        }
        self.progress.begin(facts)
        if self.at.floor is None:
            self._measure_floor()
        for epoch in range(self.at.epoch, run.config.training.epochs):
            self._train_epoch(epoch)
            self._after_epoch(epoch + 1)

    def seconds(self) -> float:
        """Wall time of the run over all its sessions."""
        return self.at.seconds + time.perf_counter() - self.session_start

    @contextlib.contextmanager
    def final_encoder(self) -> Iterator[Encoder]:
        """The encoder that the scores at the end are of."""
        with self.run.evaluated() as encoder:
            yield encoder if self.soup is None or not self.at.epoch else self.soup.cooked(encoder)

    def _open_files(self) -> None:
        if not self.run.workers.first:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        write_text(self.directory / "experiment.yaml", to_yaml(self.run.config))
        self.metrics = MetricsFile(self.directory / "metrics.jsonl", self.at.metrics_bytes)

    def _write(self, kind: str, epoch: float, metrics: dict[str, Any]) -> None:
        if self.metrics is not None:
            self.metrics.write(kind, self.at.step, epoch, metrics)

    def _measure_floor(self) -> None:
        """Scores of raw pixels and of the untrained encoder: what training has to beat."""
        floor = self._probe(full=True, rung=True, pixels=True)
        self.at.floor = floor
        if not self.run.config.training.epochs:
            self.at.last = {"epoch": 0, **floor}
        self.monitor.start(floor)
        self._write("full", 0, floor)
        self.progress.scores({"epoch": 0, **floor})
        self._save()

    def _probe(self, *, full: bool, rung: bool, pixels: bool = False) -> dict[str, Any]:
        """Scores of the target encoder, the same on every worker; timed."""
        began = time.perf_counter()
        scores: dict[str, Any] = {}
        if self.run.workers.first:
            evaluator = self.run.evaluator
            if pixels:
                scores |= evaluator.pixels()
            with self.run.evaluated() as encoder:
                if rung:
                    scores |= evaluator.rung(encoder)
                if full:
                    scores |= self._full(encoder)
        scores = self.run.workers.share(scores)
        self.at.probe_seconds += time.perf_counter() - began
        return scores

    def _full(self, encoder: Encoder) -> dict[str, float]:
        """The full scores: of the encoder, and after training of the average that the configuration asks for."""
        facts: dict[str, float] = {}
        if self.soup is not None and self.at.epoch:
            encoder, facts = self.soup.cook(encoder, self.run.evaluator)
        if self.run.config.evaluation.levels:
            facts |= self.run.evaluator.levels(encoder, self.run.model.level_targets)
        return self.run.evaluator.full(encoder) | facts

    def _train_epoch(self, epoch: int) -> None:
        run = self.run
        run.model.train()
        began = time.perf_counter()
        pending: list[Tensor] = []
        interval, steps = run.config.runtime.log_interval, run.batches.steps(epoch)
        measures = run.config.runtime.gradient_interval
        for step, images, labels in self._batches(epoch):
            log = step % interval == 0 or step == steps[-1]
            measure = measures is not None and step % measures == 0
            report = run.step(images, step, labels=labels, diagnose=log, measure=measure)
            self.at.step = step
            pending.append(torch.as_tensor(report["loss"]))
            if step % LOOK == 0 or step == steps[-1]:
                self._refuse_divergence(pending, step)
                pending.clear()
            if measure:
                self._log_gradients(report, epoch, step)
            if log:
                self._log(report, epoch, began, step)
        self.weights = {name: float(value) for name, value in report.items() if name.startswith(WEIGHT)}
        run.device.synchronise()
        self.at.train_seconds += time.perf_counter() - began

    def _log_gradients(self, report: dict[str, Tensor | float], epoch: int, step: int) -> None:
        """Move the gradient norms of the terms from the report to a line of their own."""
        norms = {name: float(report.pop(name)) for name in list(report) if name.startswith(GRADIENT)}
        self._write("gradient", self._epochs(epoch, step), norms)

    def _epochs(self, epoch: int, step: int) -> float:
        """Epochs that are over at the end of a step."""
        steps = self.run.batches.steps(epoch)
        return epoch + (step - steps.start + 1) / len(steps)

    def _log(self, report: dict[str, Tensor | float], epoch: int, began: float, step: int) -> None:
        run = self.run
        images = run.batches.rows(step).stop
        values = {name: float(value) for name, value in report.items()}
        values["images_per_second"] = images / (time.perf_counter() - began)
        self._write("step", self._epochs(epoch, step), values)
        self.progress.step(step, run.steps, values)

    def _batches(self, epoch: int) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """The number from 1, this worker's images and, where a term asks for them, labels of each step of the epoch."""
        run = self.run
        order = run.dataset.order(run.config.seed, epoch)
        steps = [step for step in run.batches.steps(epoch) if step > self.at.step]
        todo: list[np.ndarray] = [
            order[run.batches.rows(step)][run.workers.rows(run.batches.size(step))] for step in steps
        ]
        source = run.dataset.train
        for step, rows, images in zip(steps, todo, source.batches(todo), strict=True):
            labels = torch.from_numpy(source.labels[rows]) if run.model.wants.classes is not None else None
            yield step, images, labels

    def _refuse_divergence(self, losses: list[Tensor], step: int) -> None:
        values = torch.stack(losses).tolist()
        for offset, value in enumerate(values):
            if not math.isfinite(value):
                raise Diverged(f"the loss is {value} at step {step - len(values) + 1 + offset}")

    def _after_epoch(self, done: int) -> None:
        """Rung, collapse check, checkpoint and report after `done` epochs."""
        config = self.run.config
        self.at.epoch = done
        final = done == config.training.epochs
        rung = final or done % config.probe_interval == 0
        if self.soup is not None:
            with self.run.evaluated() as encoder:
                self.soup.keep(done, encoder)
        scores: dict[str, Any] = {}
        if rung:
            scores = self._probe(rung=True, full=final) | self.weights
            self.at.rung = 0 if self.at.rung is None else self.at.rung + 1
            self.at.last = {"epoch": done, **scores}
            self._write("full" if final else "rung", done, scores)
            self.progress.scores({"epoch": done, **scores})
            learned = config.objective.weighting != "fixed"
            warm = self.at.step >= self.run.step.schedule.warmup
            self.monitor.check(scores, warm=warm, weights=list(self.weights.values()) if learned else ())
        if rung or final or done % config.runtime.checkpoint_interval == 0:
            self._save()
        if rung:
            self._report(done, scores, final)

    def _report(self, epoch: int, scores: dict[str, Any], final: bool) -> None:
        if self.monitor.alarm is not None and not final:
            raise Collapsed(self.monitor.alarm)
        trained = self.run.batches.seen(self.at.step) / max(self.at.train_seconds, 1e-9)
        metrics = {"epoch": epoch, "step": self.at.step, "images_per_second": trained, **scores}
        if not self.reporter.report(metrics, self.checkpoint_path) and not final:
            raise Stopped(f"stopped at epoch {epoch} of {self.run.config.training.epochs}")

    def _save(self) -> None:
        run = self.run
        self.at.monitor = self.monitor.state()
        if run.workers.first and self.metrics is not None:
            self.at.metrics_bytes = self.metrics.size()
            now = Progressed(**{**self.at.__dict__, "seconds": self.seconds()})
            with averaged(run.optimiser):
                weights, optimiser = run.model.state_dict(), run.optimiser.state_dict()
                checkpoint.save(self.checkpoint_path, run.config, weights, optimiser, now)
