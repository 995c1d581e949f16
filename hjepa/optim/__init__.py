"""Optimiser and schedules."""

from hjepa.optim.adamw import Rates, Schedule, apply_rates, make_optimiser, parameter_groups
from hjepa.optim.schedules import lr_at, momentum_at, weight_decay_at

__all__ = [
    "Rates",
    "Schedule",
    "apply_rates",
    "lr_at",
    "make_optimiser",
    "momentum_at",
    "parameter_groups",
    "weight_decay_at",
]
