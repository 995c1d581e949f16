"""The projector: pooled embeddings -> the space in which the objective's terms compare them."""

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from hjepa.models.blocks import reset


class Projector(nn.Module):
    """`layers` linear maps to `hidden`, ..., `hidden`, `width`; a norm and ReLU after all but the last.

    Batch norm takes its statistics from the batch at hand, in training and else: nothing is kept of
    others. Computed in float32 whatever the precision of the run. Embeddings are [..., D].
    Source: VICReg code (three layers with batch norm); LeJEPA code, MINIMAL.md.
    """

    def __init__(
        self, inside: int, *, layers: int, hidden: int, width: int, norm: Literal["batch", "layer", "none"]
    ) -> None:
        super().__init__()
        sides = [inside, *[hidden] * (layers - 1), width]
        self.maps = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sides))
        self.norms = nn.ModuleList(_norm(norm, hidden) for _ in range(layers - 1))
        reset(self)

    def forward(self, embeddings: Tensor) -> Tensor:
        """[..., D] -> [..., width]; all rows, of all views, are one batch."""
        with torch.autocast(embeddings.device.type, enabled=False):
            rows = embeddings.float().flatten(0, -2)
            for linear, norm in zip(self.maps, self.norms, strict=False):
                rows = norm(linear(rows)).relu()
            rows = self.maps[-1](rows)
        return rows.unflatten(0, embeddings.shape[:-1])


def _norm(kind: str, width: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return nn.BatchNorm1d(width, track_running_stats=False) if kind == "batch" else nn.LayerNorm(width)
