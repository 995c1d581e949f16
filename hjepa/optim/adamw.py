"""AdamW with weight decay on weight matrices only."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hjepa.config import OptimConfig

#: Ends of the names of parameters that are not weights of a map, whatever their shape.
UNDECAYED = ("bias", "positions", "rope.frequencies")


def parameter_groups(
    parameters: Mapping[str, nn.Parameter], own: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Two groups: decayed weight matrices; biases, norms, scales, position tables and rotary frequencies without decay.

    own: names of parameters that have neither decay nor schedule, and the rate of each; a group for each.
    Source: I-JEPA code, `helper.init_opt`; the last two as in the `no_weight_decay` of timm and of RoPE-ViT.
    """
    exempt = {name for name, p in parameters.items() if p.ndim <= 1 or name.endswith(UNDECAYED)}
    own = own or {}
    decayed = [p for name, p in parameters.items() if name not in exempt | own.keys()]
    bare = [p for name, p in parameters.items() if name in exempt - own.keys()]
    bare_too: dict[str, Any] = {"decays": False, "weight_decay": 0.0}
    alone = [{"params": [parameters[name]], "lr": rate, "own_lr": rate, **bare_too} for name, rate in own.items()]
    return [{"params": decayed, "decays": True}, {"params": bare, **bare_too}, *alone]


def make_adamw(config: OptimConfig, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW over these groups (arXiv 1711.05101)."""
    kinds = {p.device.type for group in groups for p in group["params"]}
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=kinds <= {"cpu", "cuda"})
