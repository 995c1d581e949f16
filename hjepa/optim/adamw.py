"""AdamW with weight decay on weight matrices only."""

from collections.abc import Mapping

import torch
from torch import nn

from hjepa.config import OptimConfig

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


def make_adamw(config: OptimConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.AdamW:
    """AdamW over the two groups (arXiv 1711.05101)."""
    kinds = {p.device.type for p in parameters.values()}
    return torch.optim.AdamW(
        parameter_groups(parameters), lr=config.lr, betas=config.betas, fused=kinds <= {"cpu", "cuda"}
    )
