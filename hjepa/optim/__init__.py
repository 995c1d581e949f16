"""Optimisers, their schedules, and the size of each step."""

from hjepa.optim.adamw import parameter_groups
from hjepa.optim.batches import Batches
from hjepa.optim.lars import LARS
from hjepa.optim.optimisers import make_optimiser
from hjepa.optim.rates import Rates, Schedule, apply_rates
from hjepa.optim.schedule_free import ScheduleFreeAdamW, averaged, restore
from hjepa.optim.schedules import lr_at, momentum_at, restarts_at, stable_at, weight_decay_at

__all__ = [
    "LARS",
    "Batches",
    "Rates",
    "Schedule",
    "ScheduleFreeAdamW",
    "apply_rates",
    "averaged",
    "lr_at",
    "make_optimiser",
    "momentum_at",
    "parameter_groups",
    "restarts_at",
    "restore",
    "stable_at",
    "weight_decay_at",
]
