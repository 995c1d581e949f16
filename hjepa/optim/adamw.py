"""AdamW with weight decay on weight matrices only, driven by the schedules."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from hjepa.config import EmaConfig, OptimConfig
from hjepa.optim.schedules import lr_at, momentum_at, weight_decay_at

#: Ends of the names of parameters that are not weights of a map, whatever their shape.
UNDECAYED = ("bias", "positions", "rope.frequencies")


def parameter_groups(parameters: Mapping[str, nn.Parameter]) -> list[dict[str, object]]:
    """Two groups: decayed weight matrices; biases, norms, scales, position tables and rotary frequencies without decay.

    Source: I-JEPA code, `helper.init_opt`; the last two as in the `no_weight_decay` of timm and of RoPE-ViT.
    """
    exempt = {name for name, p in parameters.items() if p.ndim <= 1 or name.endswith(UNDECAYED)}
    decayed = [p for name, p in parameters.items() if name not in exempt]
    bare = [p for name, p in parameters.items() if name in exempt]
    return [{"params": decayed, "decays": True}, {"params": bare, "decays": False, "weight_decay": 0.0}]


@dataclass(frozen=True)
class Rates:
    """Schedule values of one step."""

    lr: float
    weight_decay: float
    momentum: float


class Schedule:
    """The values of every schedule over a run of `total` steps."""

    def __init__(self, optim: OptimConfig, ema: EmaConfig, total: int) -> None:
        self.optim = optim
        self.ema = ema
        self.total = total
        self.warmup = round(optim.warmup * total)

    def at(self, step: int) -> Rates:
        """Values for optimiser step `step` in 1..total."""
        peak = self.optim.lr
        start, end = self.optim.lr_start * peak, self.optim.lr_end * peak
        first = self.optim.weight_decay
        last = first if self.optim.weight_decay_end is None else self.optim.weight_decay_end
        return Rates(
            lr_at(step, self.total, self.warmup, start=start, peak=peak, end=end),
            weight_decay_at(step, self.total, start=first, end=last),
            momentum_at(step, self.total, start=self.ema.start, end=self.ema.end),
        )


def make_optimiser(config: OptimConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.AdamW:
    """AdamW over the two groups; its rates are set at each step by `apply_rates`."""
    groups = parameter_groups(parameters)
    kinds = {p.device.type for p in parameters.values()}
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=kinds <= {"cpu", "cuda"})


def apply_rates(optimiser: torch.optim.Optimizer, rates: Rates) -> None:
    """Set a step's learning rate and, where a group decays, its weight decay."""
    for group in optimiser.param_groups:
        group["lr"] = rates.lr
        if group["decays"]:
            group["weight_decay"] = rates.weight_decay
