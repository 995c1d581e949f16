"""The configured optimiser, ready to step."""

from collections.abc import Mapping

import torch
from torch import nn

from hjepa.config import OptimConfig
from hjepa.optim.adamw import make_adamw, parameter_groups
from hjepa.optim.lars import LARS
from hjepa.optim.schedule_free import ScheduleFreeAdamW


def make_optimiser(config: OptimConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser over decayed and bare parameters; its rates are set at each step by `apply_rates`."""
    return MAKERS[config.optimiser](config, parameters)


def _schedule_free(config: OptimConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    optimiser = ScheduleFreeAdamW(parameter_groups(parameters), lr=config.lr, betas=config.betas)
    optimiser.train()  # from here on it leaves this mode only inside `averaged`
    return optimiser


def _lars(config: OptimConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    return LARS(parameter_groups(parameters), lr=config.lr, momentum=config.lars_momentum, trust=config.lars_trust)


MAKERS = {"adamw": make_adamw, "schedule_free": _schedule_free, "lars": _lars}
