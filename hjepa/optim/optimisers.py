"""The configured optimiser, ready to step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hjepa.config import OptimConfig
from hjepa.optim.adamw import make_adamw, parameter_groups
from hjepa.optim.lars import LARS
from hjepa.optim.schedule_free import ScheduleFreeAdamW


def make_optimiser(
    config: OptimConfig, parameters: Mapping[str, nn.Parameter], own: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimiser over decayed and bare parameters; its rates are set at each step by `apply_rates`.

    own: constant rates of some parameters by name, which are not decayed.
    """
    return MAKERS[config.optimiser](config, parameter_groups(parameters, own))


def _schedule_free(config: OptimConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    optimiser = ScheduleFreeAdamW(groups, lr=config.lr, betas=config.betas)
    optimiser.train()  # from here on it leaves this mode only inside `averaged`
    return optimiser


def _lars(config: OptimConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return LARS(groups, lr=config.lr, momentum=config.lars_momentum, trust=config.lars_trust)


MAKERS = {"adamw": make_adamw, "schedule_free": _schedule_free, "lars": _lars}
