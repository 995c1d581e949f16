"""Named random streams: every draw is a function of (seed, stream name, indices) alone.

A component that is switched on or off leaves all other draws as they were, and a resumed run
needs no generator state: it names the same step.
"""

import hashlib

import numpy as np
import torch
from torch import nn


def stream_seed(seed: int, name: str, *index: int) -> int:
    """A 63-bit seed for one named stream."""
    text = "/".join([str(seed), name, *map(str, index)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, name: str, *index: int) -> torch.Generator:
    """A CPU generator for one named stream; CPU, so that the draws do not depend on the device."""
    return torch.Generator().manual_seed(stream_seed(seed, name, *index))


def numpy_generator(seed: int, name: str, *index: int) -> np.random.Generator:
    """A NumPy generator for one named stream."""
    return np.random.default_rng(stream_seed(seed, name, *index))


@torch.no_grad()
def initialise(module: nn.Module, seed: int, prefix: str) -> None:
    """Draw each weight matrix from a stream named by its parameter, truncated normal, std 0.02.

    Biases, norms and scales keep what their module set; so adding a part moves no other weight.
    A parameter with an attribute `keep_init` is left alone.
    Source: I-JEPA code, `VisionTransformer._init_weights`.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1 and not getattr(parameter, "keep_init", False):
            draw = torch.empty(parameter.shape)
            nn.init.trunc_normal_(draw, std=0.02, generator=generator(seed, f"init/{prefix}.{name}"))
            parameter.copy_(draw)
