"""The schedule values of each step, and how they reach the optimiser."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hjepa.config import EmaConfig, OptimConfig
from hjepa.optim.schedules import lr_at, momentum_at, restarts_at, rising, stable_at, weight_decay_at

#: Images per step at which `optim.lr_scaling` changes nothing.
BASE_BATCH = 256
POWERS = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}


@dataclass(frozen=True)
class Rates:
    """Schedule values of one step."""

    lr: float
    weight_decay: float
    momentum: float


class Schedule:
    """The values of every schedule over a run of `total` steps."""

    def __init__(self, optim: OptimConfig, ema: EmaConfig, total: int, changes: Sequence[int] = ()) -> None:
        """`changes` are the first steps under each of `optim.changes`."""
        self.optim = optim
        self.ema = ema
        self.total = total
        self.warmup = round(optim.warmup * total)
        self.peak = optim.lr * math.pow(optim.batch_size / BASE_BATCH, POWERS[optim.lr_scaling])
        self._changes = list(zip(changes, optim.changes or (), strict=True))

    def at(self, step: int, batch: int | None = None) -> Rates:
        """Values for optimiser step `step` in 1..total, which trains on `batch` images (None: `optim.batch_size`)."""
        first = self.optim.weight_decay
        last = first if self.optim.weight_decay_end is None else self.optim.weight_decay_end
        growth = 1.0 if batch is None else batch / self.optim.batch_size
        now = [change for since, change in self._changes if since <= step]
        return Rates(
            self._lr(step) * math.pow(growth, POWERS[self.optim.batch_lr]) * math.prod(change.lr for change in now),
            weight_decay_at(step, self.total, start=first, end=last) * math.prod(change.weight_decay for change in now),
            momentum_at(step, self.total, start=self.ema.start, end=self.ema.end),
        )

    def _lr(self, step: int) -> float:
        optim, peak = self.optim, self.peak
        start, end = optim.lr_start * peak, optim.lr_end * peak
        # Schedule-Free averages its weights in place of a falling rate.
        kind = "constant" if optim.optimiser == "schedule_free" else optim.schedule
        if kind == "cosine":
            return lr_at(step, self.total, self.warmup, start=start, peak=peak, end=end)
        if step < self.warmup:
            return rising(step, self.warmup, start, peak)
        if kind == "restarts":
            span = max(1, self.total - self.warmup)
            first = optim.restart_period * span
            return restarts_at(step - self.warmup, span, first=first, mult=optim.restart_mult, peak=peak, end=end)
        if kind == "wsd":
            return stable_at(step, self.total, optim.decay_share * self.total, peak=peak, end=end)
        return peak


def apply_rates(optimiser: torch.optim.Optimizer, rates: Rates) -> None:
    """Set a step's learning rate, unless a group has its own, and, where it decays, its weight decay."""
    for group in optimiser.param_groups:
        group["lr"] = group.get("own_lr", rates.lr)
        if group["decays"]:
            group["weight_decay"] = rates.weight_decay
