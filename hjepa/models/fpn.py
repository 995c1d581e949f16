"""A feature pyramid over the context, built from visible tokens only, with its map of what is visible."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.models.blocks import reset
from hjepa.models.level_targets import Pooling, pool_level


@dataclass(frozen=True)
class LevelMap:
    """Features [B, D, n, n] of one level and which of its cells see a visible token, [B, 1, n, n], 1 or 0.

    Features are zero where nothing is visible.
    """

    features: Tensor
    valid: Tensor


def visible_maps(tokens: Tensor, visible: Tensor, grid: int, levels: int, pooling: Pooling) -> list[LevelMap]:
    """The mean of the visible tokens in every cell of every level, finest first.

    tokens: [B, K, D]; visible: [B, K] their patch indices, distinct in an image; grid: patches per side.
    The mean is over visible tokens alone (a partial convolution, arXiv 1804.07723, with equal weights).
    """
    count = grid * grid
    where = visible.unsqueeze(-1)
    dense = tokens.new_zeros(len(tokens), count, tokens.shape[-1])
    dense = dense.scatter(1, where.expand_as(tokens), tokens)
    seen = tokens.new_zeros(len(tokens), count, 1).scatter(1, where, 1.0)
    maps = []
    for level in range(levels):
        summed, share = (part if level == 0 else pool_level(part, level, pooling) for part in (dense, seen))
        valid = (share > 0).to(share.dtype)
        mean = summed / torch.where(share > 0, share, 1.0)
        maps.append(LevelMap(_image(mean), _image(valid)))
    return maps


def _image(tokens: Tensor) -> Tensor:
    batch, count, width = tokens.shape
    side = round(count**0.5)
    return tokens.transpose(1, 2).view(batch, width, side, side)


def spread(coarse: Tensor, size: int, steps: int, pooling: Pooling) -> Tensor:
    """A map [B, C, n, n] on the grid of `size` cells a side that lies `steps` levels below it, by nearest cell.

    With floor pooling, cells that no coarse cell covers are 0.
    """
    if pooling == "adaptive":
        return F.interpolate(coarse, size=(size, size), mode="nearest")
    fine = coarse.repeat_interleave(1 << steps, -1).repeat_interleave(1 << steps, -2)
    rest = size - fine.shape[-1]
    return F.pad(fine, (0, rest, 0, rest))


class Smoothing(nn.Module):
    """A depthwise 3x3 convolution that starts at zero, over valid cells only.

    Each sum is scaled by 9 over the number of valid cells it saw (partial convolution, arXiv 1804.07723).
    Depthwise, as a dense one would hold 9 D^2 weights a level, nearly an encoder block.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, 1, 3, 3))
        self.bias = nn.Parameter(torch.zeros(width))

    def drawn(self, stream: torch.Generator) -> Tensor:
        """Zeros, whatever the stream; see `hjepa.runtime.streams.SelfDrawn`."""
        return torch.zeros_like(self.weight)

    def forward(self, level: LevelMap) -> LevelMap:
        """The map, convolved; zero where nothing is visible."""
        summed = F.conv2d(level.features * level.valid, self.weight, padding=1, groups=len(self.weight))
        seen = F.avg_pool2d(level.valid, 3, stride=1, padding=1)
        out = summed / seen.clamp(min=1.0 / 9.0) + self.bias.view(-1, 1, 1)
        return LevelMap(out * level.valid, level.valid)


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions and a top-down path; coarse levels reach finer ones by nearest upsampling.

    add: P_l = lateral_l(C_l) + up(P_(l+1)); concat: P_l = conv1x1([C_l, up(P_(l+1))]), whose first half is the
    lateral convolution, so that concat has one D x D matrix more for each level but the coarsest. What
    is not valid adds nothing, and a merge with one valid part of two is doubled. Then `Smoothing`,
    which starts at zero. Source: FPN (arXiv 1612.03144); method C.5.
    """

    def __init__(self, width: int, levels: int, kind: Literal["add", "concat"], pooling: Pooling) -> None:
        super().__init__()
        self.kind, self.pooling = kind, pooling
        taken = [2 * width if kind == "concat" and level < levels - 1 else width for level in range(levels)]
        self.lateral = nn.ModuleList(nn.Linear(size, width) for size in taken)
        self.smoothing = nn.ModuleList(Smoothing(width) for _ in range(levels))
        reset(self)

    def forward(self, levels: list[LevelMap]) -> list[LevelMap]:
        """The pyramid of the levels, finest first."""
        return [part(level) for part, level in zip(self.smoothing, self.merge(levels), strict=True)]

    def merge(self, levels: list[LevelMap]) -> list[LevelMap]:
        """The top-down path before smoothing."""
        top = levels[-1]
        weight, bias = self._lateral(-1)
        merged = [LevelMap((_conv1x1(weight, top.features) + bias) * top.valid, top.valid)]
        for index in range(len(levels) - 2, -1, -1):
            merged.insert(0, self._merge(index, levels[index], merged[0]))
        return merged

    def _merge(self, index: int, level: LevelMap, above: LevelMap) -> LevelMap:
        size = level.valid.shape[-1]
        up = spread(above.features, size, 1, self.pooling)
        valid = spread(above.valid, size, 1, self.pooling)
        scale = 2.0 / (level.valid + valid).clamp(min=1.0)
        own = level.features * level.valid
        weight, bias = self._lateral(index)
        if self.kind == "add":
            summed = _conv1x1(weight, own) + up * valid
        else:
            summed = _conv1x1(weight, torch.cat([own, up * valid], 1))
        return LevelMap((summed * scale + bias) * level.valid, level.valid)

    def _lateral(self, index: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of a level's 1x1 convolution."""
        part = self.lateral[index]
        assert isinstance(part, nn.Linear)
        return part.weight, part.bias.view(-1, 1, 1)


def _conv1x1(weight: Tensor, features: Tensor) -> Tensor:
    return F.conv2d(features, weight[:, :, None, None])
