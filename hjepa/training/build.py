"""Config -> the parts of a run. The only place that sees a whole Config."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from hjepa.config import Config, HierarchyConfig, MasksConfig
from hjepa.data import Dataset, Views, open_dataset
from hjepa.evaluation import Evaluator
from hjepa.masks import MaskSampler, refuse_empty_levels
from hjepa.models import HJEPA, Encoder, Wants, resolve_kernel
from hjepa.objectives import Objective
from hjepa.optim import Batches, Schedule, averaged, make_optimiser
from hjepa.overrides import ConfigError, problem
from hjepa.runtime.device import Device, pick_device
from hjepa.training.draws import Cutter, Drawer
from hjepa.training.step import TrainStep
from hjepa.training.workers import Workers


@dataclass(frozen=True)
class Run:
    """All parts of one run, ready to train."""

    config: Config
    device: Device
    workers: Workers
    kernel: str
    dataset: Dataset
    evaluator: Evaluator
    model: HJEPA
    optimiser: torch.optim.Optimizer
    step: TrainStep
    batches: Batches

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.batches.total

    @contextmanager
    def evaluated(self) -> Iterator[Encoder]:
        """The encoder to probe, while its weights are those to evaluate."""
        with averaged(self.optimiser):
            yield self.model.evaluated

    def resolved(self) -> dict[str, Any]:
        """What `auto` and null of the runtime section became here."""
        return {
            "device": self.device.device.type,
            "threads": self.device.threads,
            "precision": self.device.precision,
            "attention": self.kernel,
        }


def check(config: Config) -> None:
    """Raise ConfigError for a grid, child rule, device or kernel that cannot be had; reads no data."""
    _check_masks(config)
    _kernel(config, pick_device(config.runtime))


def _check_masks(config: Config) -> None:
    if config.objective.jepa_weight > 0:
        for grid in config.grids.values():
            _check_grid(config.masks, config.hierarchy, grid, config.grid)


@functools.lru_cache(maxsize=256)
def _check_grid(masks: MasksConfig, hierarchy: HierarchyConfig, grid: int, counted: int) -> None:
    """Cached, as a study checks many configurations that differ in other fields."""
    refuse_empty_levels(hierarchy, MaskSampler(masks, grid, counted))


def build(config: Config, workers: Workers | None = None) -> Run:
    """Everything a run needs. Raises ConfigError when it cannot run here."""
    workers = workers or Workers.current()
    device = pick_device(config.runtime, torch.cuda.current_device() if torch.cuda.is_available() else 0)
    _check_masks(config)
    kernel = _kernel(config, device)
    dataset = open_dataset(config.data)
    views = Views(config.views)
    small = Views(config.views.small) if config.views.locals else None
    model = build_model(config, dataset.num_classes).to(device.device)
    model.set_kernel(kernel)
    model.set_checkpointing(config.runtime.checkpointing)
    if config.runtime.compile:
        model.compile_blocks(device.device)
    batches = _batches(config, dataset.epoch_images, workers.world)
    own = {"log_variances.values": config.objective.kendall_lr} if model.log_variances is not None else None
    optimiser = make_optimiser(config.optim, model.trainable(), own)
    step = TrainStep(
        model=model,
        parallel=workers.wrap(model, device.device),
        objective=Objective(config.objective, config.level_weights, local=config.local_context, seed=config.seed),
        optimiser=optimiser,
        schedule=_schedule(config, batches),
        drawer=_drawer(config, views, small, model),
        cutter=Cutter(views, small, device.device),
        device=device,
        workers=workers,
        config=config.optim,
        # A batch that grows does so by more passes of the size it begins with.
        micro_batch=config.runtime.micro_batch or config.optim.batch_size // workers.world,
    )
    return Run(
        config=config,
        device=device,
        workers=workers,
        kernel=kernel,
        dataset=dataset,
        evaluator=Evaluator(config.evaluation, dataset, Views(config.evaluated_views), device),
        model=model,
        optimiser=optimiser,
        step=step,
        batches=batches,
    )


def build_model(config: Config, classes: int) -> HJEPA:
    """The untrained model of a configuration, on the CPU; classes: of the data set's labels."""
    model = HJEPA(
        config.model,
        config.predictor,
        config.hierarchy,
        config.target,
        wants(config, classes),
        grid=config.grid,
        seed=config.seed,
    )
    return model


def parameters(config: Config) -> int:
    """How many trainable parameters a configuration has; reads the data set only where a term needs its classes."""
    classes = open_dataset(config.data).num_classes if config.objective.supervised.weight > 0 else 0
    with torch.device("meta"):  # nothing but shapes
        return sum(p.numel() for p in build_model(config, classes).trainable().values())


def wants(config: Config, classes: int) -> Wants:
    """What the objective's terms ask of the model."""
    objective = config.objective
    return Wants(
        predicts=objective.jepa_weight > 0,
        normalise_targets=objective.normalise_targets,
        embeddings=objective.embeddings,
        projector=objective.projector if objective.projector.layers else None,
        log_variances=objective.weighting == "kendall",
        classes=classes if objective.supervised.weight > 0 else None,
    )


def _drawer(config: Config, views: Views, small: Views | None, model: HJEPA) -> Drawer:
    return Drawer(
        config=config.views,
        views=views,
        small=small,
        masks=_samplers(config) if model.wants.predicts else {},
        hierarchy=config.hierarchy,
        drop_path=config.model.drop_path,
        depth=len(model.encoder.blocks),
        patch_size=config.model.patch_size,
        patch_sizes=config.model.training_patches,
        whole=model.wants.whole,
        slot_width=config.predictor.width,
        seed=config.seed,
    )


def _samplers(config: Config) -> dict[int, MaskSampler]:
    """One for each patch size that a step may have."""
    return {size: MaskSampler(config.masks, grid, config.grid) for size, grid in config.grids.items()}


def _schedule(config: Config, batches: Batches) -> Schedule:
    starts = [batches.steps(change.epoch).start for change in config.optim.changes or ()]
    return Schedule(config.optim, config.ema, max(1, batches.total), starts)


def _kernel(config: Config, device: Device) -> str:
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    width, _, heads = config.model.shape
    return resolve_kernel(config.runtime.attention, device.device, dtype, width // heads)


def _batches(config: Config, images: int, world: int) -> Batches:
    batch = config.optim.batch_size
    if batch > images:
        raise ConfigError([problem("optim.batch_size", batch, f"at most {images} (the training images of an epoch)")])
    per_worker, rest = divmod(batch, world)
    if rest:
        raise ConfigError([problem("optim.batch_size", batch, f"multiples of the {world} workers")])
    micro = config.runtime.micro_batch
    if micro is not None and per_worker % micro:
        raise ConfigError(
            [problem("runtime.micro_batch", micro, f"divisors of the {per_worker} images a worker takes")]
        )
    if config.views.mixes and per_worker % 2:
        raise ConfigError([problem("optim.batch_size", batch, f"multiples of {2 * world} with mixup or cutmix")])
    growth = config.optim.batch_growth
    if config.optim.batch_schedule != "constant" and growth * batch > images:
        allowed = f"at most {images // batch} (the {images} training images over optim.batch_size)"
        raise ConfigError([problem("optim.batch_growth", growth, allowed)])
    return Batches(config.optim, images, config.training.epochs)
