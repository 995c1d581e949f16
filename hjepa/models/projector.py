"""The projector: pooled embeddings -> the space in which the objective's terms compare them."""

import itertools

import torch
from torch import Tensor, nn

from hjepa.config import ProjectorConfig
from hjepa.models.blocks import reset


class Projector(nn.Module):
    """`layers` linear maps to `hidden`, ..., `hidden`, `width`; a norm and ReLU after all but the last.

    Batch norm takes its statistics from the batch at hand, in training and else: nothing is kept of
    others. Every worker maps the rows of all workers, so these are the statistics of the whole batch.
    Computed in float32 whatever the precision of the run.
    Source: VICReg code (three layers with batch norm); LeJEPA code, MINIMAL.md.
    """

    def __init__(self, inside: int, config: ProjectorConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden, config.layers - 1
        sides = [inside, *[hidden] * inner, config.width]
        self.maps = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sides))
        self.norms = nn.ModuleList(_norm(config.norm, hidden) for _ in range(inner))
        reset(self)

    def forward(self, embeddings: Tensor) -> Tensor:
        """[..., D] -> [..., width]; all rows, of all views, are one batch."""
        with torch.autocast(embeddings.device.type, enabled=False):
            rows: Tensor = embeddings.float().flatten(0, -2)
            for linear, norm in zip(self.maps, self.norms, strict=False):
                rows = norm(linear(rows)).relu()
            rows = self.maps[-1](rows)
        return rows.view(*embeddings.shape[:-1], -1)


def _norm(kind: str, width: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return nn.BatchNorm1d(width, track_running_stats=False) if kind == "batch" else nn.LayerNorm(width)
