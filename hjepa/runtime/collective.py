"""What the workers of a run know together; with one worker, what it knows itself."""

from typing import Any

import torch
from torch import Tensor, distributed


def gathered(rows: Tensor, dim: int = 0) -> Tensor:
    """The rows of all workers, in their order, along `dim`; differentiable.

    A worker's gradient is the sum of what all workers ask of its rows.
    """
    if not _several():
        return rows
    out: Tensor = _Gather.apply(rows, dim)
    return out


def summed(value: Tensor) -> Tensor:
    """The sum over workers, without gradient."""
    value = value.detach()
    if _several():
        value = value.clone()
        distributed.all_reduce(value)
    return value


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _Gather(torch.autograd.Function):
    """all_gather, whose backward pass adds up the workers' gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, dim: int) -> Tensor:
        ctx.dim, ctx.size = dim, rows.shape[dim]
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows)
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient.narrow(ctx.dim, distributed.get_rank() * ctx.size, ctx.size), None
