"""The workers of a run: one process, or the ranks of torch.distributed."""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Workers:
    """This process's rank and how many there are. Rank 0 writes and probes."""

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> "Workers":
        """The ranks of the process group, or a single worker when there is none."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes files and probes."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """This worker's share of a batch."""
        share = batch // self.world
        return slice(self.rank * share, (self.rank + 1) * share)

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with gradients averaged over workers."""
        if self.world == 1:
            return model
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    def share(self, value: Any) -> Any:
        """Rank 0's value on every worker."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over workers."""
        if self.world > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value


def quiet(model: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """No gradient exchange before the last micro-batch of a step."""
    if isinstance(model, DistributedDataParallel) and not last:
        return model.no_sync()
    return contextlib.nullcontext()
