"""torch.compile: whether it works here, and how the parts of a model are compiled."""

import functools
from collections.abc import Iterable

import torch
from torch import nn

from hjepa.overrides import ConfigError, problem

#: Compiled variants of one function before PyTorch gives up and runs it uncompiled. Blocks need one for each
#: width and each of: with and without gradient, all outputs or the last, this length or any.
VARIANTS = 64


def compile_parts(parts: Iterable[nn.Module], device: torch.device) -> None:
    """Compile each module in place; modules of one class, width and mode share their code.

    A shape that is seen a second time otherwise is compiled for any size, so that micro-batches and
    probes of other sizes compile nothing more. Raises ConfigError when nothing can be compiled here.
    """
    failure = _failure(device.type)
    if failure is not None:
        raise ConfigError(
            [problem("runtime.compile", True, f"false (torch.compile fails on this {device}: {failure})")]
        )
    torch._dynamo.config.recompile_limit = max(VARIANTS, torch._dynamo.config.recompile_limit)
    for part in parts:
        part.compile()


@functools.cache
def _failure(kind: str) -> str | None:
    """Why a function of one line cannot be compiled for this kind of device; None when it can."""
    ones = torch.ones(8, device=kind)
    try:
        torch.compile(_one_line)(ones)
    except RuntimeError as error:  # no C++ compiler, no Triton, no Python headers: one class each, all of this kind
        return str(error).strip().splitlines()[0]
    return None


def _one_line(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1.0
