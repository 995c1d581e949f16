"""Named random streams: every draw is a function of (seed, stream name, indices) alone.

A component that is switched on or off leaves all other draws as they were, and a resumed run
needs no generator state: it names the same step.
"""

import hashlib
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn


@runtime_checkable
class SelfDrawn(Protocol):
    """A module whose one parameter has an initial distribution of its own."""

    def drawn(self, stream: torch.Generator) -> Tensor:
        """The parameter's initial value."""


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
def initialise(module: nn.Module, seed: int, prefix: str, kind: str) -> None:
    """Draw each weight matrix and token from a stream named by its parameter.

    kind trunc_normal draws all with standard deviation 0.02 (I-JEPA code, `_init_weights`); xavier
    draws the weights of linear maps uniformly by their fan-in and fan-out (MAE code, `_init_weights`)
    and the tokens as before. The parameter of a `SelfDrawn` module is as that module draws it. Biases,
    norms and scales keep what their module set; adding a part moves no other weight.
    """
    linear = {f"{name}.weight" for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2:
            continue
        draw, stream = torch.empty(parameter.shape), generator(seed, f"init/{prefix}.{name}")
        owner = module.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, SelfDrawn):
            draw = owner.drawn(stream)
        elif kind == "xavier" and name in linear:
            nn.init.xavier_uniform_(draw, generator=stream)
        else:
            nn.init.trunc_normal_(draw, std=0.02, generator=stream)
        parameter.copy_(draw)
