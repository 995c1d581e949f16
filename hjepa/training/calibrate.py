"""What a whole run would take, from a few of its steps and a small probe: for plans. Writes nothing but the cache."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from hjepa.config import Config
from hjepa.data import Views, open_dataset
from hjepa.evaluation import Evaluator, extract
from hjepa.evaluation.evaluator import PIXEL_TRAIN
from hjepa.training.build import Run, build

#: Steps that are timed at most, after the first, which also allocates.
STEPS = 10
#: Images by which the encoder's speed is taken.
IMAGES = 256
#: Width of the raw pixels that are probed as a floor.
PIXEL_WIDTH = 192


@dataclass(frozen=True)
class Cost:
    """What a run takes here: seconds of training, of its probes, and before its first step; bytes of a checkpoint."""

    training: float
    probes: float
    start: float
    checkpoint_bytes: int


def calibrate(config: Config, *, seconds: float = 3.0, test: bool = False) -> Cost:
    """The cost of a run at its full budget, on this machine, as one worker and uncompiled.

    Trains for about `seconds`, and takes as long for a probe. `test`: the run scores the test split, too.
    Raises ConfigError when the configuration cannot run here.
    """
    config = config.model_copy(update={"runtime": config.runtime.model_copy(update={"compile": False})})
    open_dataset(config.data)  # decoding is done once for all trials
    began = time.perf_counter()
    run = build(config)
    start = time.perf_counter() - began
    training = _image_seconds(run, seconds) * run.batches.seen(run.steps)
    return Cost(training, _probes(run, seconds, test), start, _checkpoint_bytes(run))


def _image_seconds(run: Run, seconds: float) -> float:
    """Seconds of training an image: the median over some steps of the first epoch."""
    run.model.train()
    found: list[float] = []
    deadline = time.perf_counter() + seconds
    began = time.perf_counter()
    for step, images, labels in _steps(run):
        run.step(images, step, labels=labels)
        run.device.synchronise()
        now = time.perf_counter()
        found.append((now - began) / len(images))
        began = now
        if now > deadline:
            break
    return median(found[1:] or found) if found else 0.0


def _steps(run: Run) -> Iterator[tuple[int, torch.Tensor, torch.Tensor | None]]:
    steps = list(run.batches.steps(0))[: STEPS + 1] if run.config.training.epochs else []
    order = run.dataset.order(run.config.seed, 0)
    rows = [order[run.batches.rows(step)] for step in steps]
    source = run.dataset.train
    labelled = run.model.wants.classes is not None
    for step, index, images in zip(steps, rows, source.batches(rows), strict=True):
        yield step, images, torch.from_numpy(source.labels[index]) if labelled else None


def _probes(run: Run, seconds: float, test: bool) -> float:
    """Seconds of all probes: the floor, the rungs, the score at the end, and that on test.

    A probe's time is that of embedding its images and that of the fit, which grows with the images fitted on. The
    test split stays unopened: it counts as large as the hold-out.
    """
    config, dataset = run.config.evaluation, run.dataset
    each = _embedding_seconds(run)
    fitted, held = len(dataset.fit), len(dataset.holdout)
    rung_fitted, rung_held = min(config.rung_train, fitted), min(config.rung_holdout, held)
    few = config.labels_per_class
    if few is not None:
        labelled = min(rung_fitted, few * config.draws * dataset.num_classes)
        share, embedded, embedded_full = 1.0, labelled, min(fitted, few * config.draws * dataset.num_classes)
    else:
        share = min(1.0, max(seconds / max(each * (rung_fitted + rung_held), 1e-9), 0.05))
        embedded, embedded_full = rung_fitted, fitted
    spent, used = _rung_seconds(run, share)
    fit = max(0.0, spent - each * (min(embedded, used[0]) + used[1]))
    growth = 1.0 if few is not None else rung_fitted / used[0]
    rung = each * (embedded + rung_held) + fit * growth
    growth = 1.0 if few is not None else fitted / used[0]
    full = each * (embedded_full + held) + fit * growth
    width = run.config.model.shape[0] * (4 if config.features == "last4" else 1)
    pixels = fit * (1.0 if few is not None else min(fitted, PIXEL_TRAIN) / used[0]) * PIXEL_WIDTH / width
    # A level's probe is as wide as that of the last block.
    levels = each * (embedded_full + held) + run.config.hierarchy.levels * fit * growth if config.levels else 0.0
    epochs = run.config.training.epochs
    rungs = -(-epochs // run.config.probe_interval)
    return (full + rung + pixels) + rungs * rung + full * (1 + test) + 2 * levels


def _embedding_seconds(run: Run) -> float:
    """Seconds of embedding an image."""
    source, count = run.dataset.holdout, min(IMAGES, len(run.dataset.holdout))
    views, kind = Views(run.config.evaluated_views), run.config.evaluation.features
    with run.evaluated() as encoder:
        extract(encoder, source, np.arange(min(8, count)), views, run.device, kind)
        began = time.perf_counter()
        extract(encoder, source, np.arange(count), views, run.device, kind)
    return (time.perf_counter() - began) / count


def _rung_seconds(run: Run, share: float) -> tuple[float, tuple[int, int]]:
    """Seconds of a cheap probe on a share of its images, and how many it was fitted and scored on."""
    config, dataset = run.config.evaluation, run.dataset
    least = max(50, config.knn_k + 1)
    train, held = (max(least, int(share * count)) for count in (config.rung_train, config.rung_holdout))
    small = config.model_copy(update={"rung_train": train, "rung_holdout": held})
    evaluator = Evaluator(small, dataset, Views(run.config.evaluated_views), run.device)
    with run.evaluated() as encoder:
        began = time.perf_counter()
        evaluator.rung(encoder)
    return time.perf_counter() - began, (min(train, len(dataset.fit)), min(held, len(dataset.holdout)))


def _checkpoint_bytes(run: Run) -> int:
    """Bytes of the weights and the optimiser's state, and of the epochs that an average keeps."""
    kept = _bytes(run.model.state_dict()) + _bytes(run.optimiser.state_dict())
    if run.config.evaluation.soup == "none":
        return kept
    with run.evaluated() as encoder:
        return kept + min(run.config.evaluation.average_last, run.config.training.epochs) * _bytes(encoder.state_dict())


def _bytes(state: Any) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, list | tuple) else 0
