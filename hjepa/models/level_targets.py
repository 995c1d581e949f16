"""What each level predicts: which blocks of the target encoder it comes from, and how it is pooled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hjepa.models.encoder import normalise

Pooling = Literal["adaptive", "floor"]
Source = Literal["pool", "depth", "both"]


def pool_level(tokens: Tensor, level: int, pooling: Pooling) -> Tensor:
    """Patch tokens [B, g * g, D] -> cells of a level [B, n * n, D], n = floor(g / 2^level), each a mean.

    The cells are those of `hjepa.config.cell_windows`.
    """
    batch, count, width = tokens.shape
    side = round(count**0.5)
    image = tokens.transpose(1, 2).view(batch, width, side, side)
    pooled = F.avg_pool2d(image, 1 << level) if pooling == "floor" else F.adaptive_avg_pool2d(image, side >> level)
    return pooled.flatten(2).transpose(1, 2)


def level_block(level: int, levels: int, depth: int) -> int:
    """The block, counted from 1, that a level comes from with source `depth`: ceil(depth * (level + 1) / levels).

    The coarsest level comes from the last block, finer levels from earlier ones.
    """
    return -(-depth * (level + 1) // levels)


@dataclass(frozen=True)
class LevelTargets:
    """From the target encoder's block outputs to the target of every cell of every level.

    source: pool takes every level from the last block, depth takes level l from `level_block` (method
    C.4; V-JEPA 2.1 supervises several depths, the order of depths and the pooling are this project's
    own), both takes the mean of the two, each layer-normalised. layers: the mean of this many
    layer-normalised blocks up to the one named, or as many as there are (data2vec, arXiv 2202.03555,
    section 3.3); 1 takes the block alone. Outputs before the last have no norm of the encoder's, hence are
    layer-normalised without affine parameters. All levels are then pooled to their own grids.
    """

    levels: int
    depth: int
    pooling: Pooling = "adaptive"
    source: Source = "pool"
    layers: int = 1
    normalises: bool = True
    renormalises: bool = True

    @property
    def blocks(self) -> list[int]:
        """The blocks, counted from 1, whose outputs `maps` reads."""
        ends = set() if self.source == "depth" else {self.depth}
        if self.source != "pool":
            ends |= {level_block(level, self.levels, self.depth) for level in range(self.levels)}
        return sorted({block for end in ends for block in self._averaged(end)})

    def maps(self, outputs: Mapping[int, Tensor]) -> list[Tensor]:
        """Targets [B, G_l, D] per level, from the outputs [B, N, D] of `blocks`; the last one after the final norm."""
        made: dict[int, Tensor] = {}
        maps = []
        for level in range(self.levels):
            key = level_block(level, self.levels, self.depth) if self.source != "pool" else self.depth
            if key not in made:
                tokens = self._tokens(outputs, key)
                made[key] = normalise(tokens) if self.normalises else tokens
            maps.append(self._pooled(made[key], level))
        return maps

    def _pooled(self, tokens: Tensor, level: int) -> Tensor:
        if level == 0:
            return tokens
        pooled = pool_level(tokens, level, self.pooling)
        return normalise(pooled) if self.normalises and self.renormalises else pooled

    def _tokens(self, outputs: Mapping[int, Tensor], block: int) -> Tensor:
        if self.source != "both":
            return self._average(outputs, block)
        pair = [normalise(self._average(outputs, end)) for end in (self.depth, block)]
        return torch.stack(pair).mean(0)

    def _average(self, outputs: Mapping[int, Tensor], block: int) -> Tensor:
        if self.layers == 1:
            return outputs[block] if block == self.depth else normalise(outputs[block])
        return torch.stack([normalise(outputs[index]) for index in self._averaged(block)]).mean(0)

    def _averaged(self, block: int) -> range:
        return range(max(1, block - self.layers + 1), block + 1)
