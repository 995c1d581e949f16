"""Rotary position embeddings in two dimensions: queries and keys are turned by angles that their places give.

The product of a query and a key then depends on the difference of their places. Everything here is
float32, whatever autocast says: only elementwise products, which it leaves alone.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Rotation:
    """One layer's angles: cosines and sines [B or 1, heads or 1, N, h / 2] of the pairs of a head's h channels.

    interleaved: pairs are channels (2j, 2j + 1); else (j, j + h / 2).
    """

    cosine: Tensor
    sine: Tensor
    interleaved: bool

    @classmethod
    def by(cls, angles: Tensor, *, interleaved: bool) -> "Rotation":
        """The rotation by these angles [B or 1, heads or 1, N, h / 2]."""
        return cls(angles.cos(), angles.sin(), interleaved)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Queries or keys [B, heads, N, h], turned, in their own dtype."""
        axis, pairs = (-1, (-1, 2)) if self.interleaved else (-2, (2, -1))
        first, second = tokens.float().reshape(*tokens.shape[:-1], *pairs).unbind(axis)
        turned = [first * self.cosine - second * self.sine, first * self.sine + second * self.cosine]
        return torch.stack(turned, axis).flatten(-2).to(tokens.dtype)

    def last(self, count: int) -> "Rotation":
        """The rotation of the last tokens only."""
        return replace(self, cosine=self.cosine[..., -count:, :], sine=self.sine[..., -count:, :])


class Rope(nn.Module):
    """The rotations of each layer of a stack of `depth` blocks with `heads` heads of h channels.

    theta: the base of the frequencies theta^(-4i / h), i < h / 4.
    """

    def __init__(self, theta: float, depth: int, heads: int, channels: int) -> None:
        super().__init__()
        assert channels % 4 == 0
        self.theta, self.depth, self.heads, self.channels = theta, depth, heads, channels

    def magnitudes(self) -> Tensor:
        """theta^(-4i / h), [h / 4]."""
        return self.theta ** -(torch.arange(0, self.channels, 4, dtype=torch.float64) / self.channels).float()

    def forward(self, places: Tensor, extent: float | Tensor) -> list[Rotation]:
        """One rotation for each layer.

        places: [B or 1, N, 2] (row, column) in patches; extent: how many patches the image spans, a
        number or a [2] of rows and columns.
        """
        raise NotImplementedError


class Axial(Rope):
    """Half of the pairs turn with the column, half with the row, at fixed frequencies.

    At another resolution the places are the new patch indices. Source: RoPE-ViT (arXiv 2403.13298),
    code `compute_axial_cis`.
    """

    frequencies: Tensor

    def __init__(self, theta: float, depth: int, heads: int, channels: int) -> None:
        super().__init__(theta, depth, heads, channels)
        self.register_buffer("frequencies", self.magnitudes(), persistent=False)

    def forward(self, places: Tensor, extent: float | Tensor) -> list[Rotation]:
        """See `Rope`."""
        rows, columns = (coordinate[..., None] * self.frequencies for coordinate in places.unbind(-1))
        angles = torch.cat([columns, rows], -1)[:, None]
        return [Rotation.by(angles, interleaved=True)] * self.depth


class Mixed(Rope):
    """Each pair of each head and layer turns with a learned combination of column and row.

    `frequencies` [2, depth, heads * h / 2] holds those of the column, then of the row; the optimiser
    does not decay them. Source: RoPE-ViT (arXiv 2403.13298), code `init_random_2d_freqs`, `compute_mixed_cis`.
    """

    def __init__(self, theta: float, depth: int, heads: int, channels: int) -> None:
        super().__init__(theta, depth, heads, channels)
        self.frequencies = nn.Parameter(torch.zeros(2, depth, heads * channels // 2))

    def drawn(self, stream: torch.Generator) -> Tensor:
        """Initial frequencies: each head's two axes are at right angles, in a random direction."""
        direction = torch.rand(self.depth, self.heads, 1, generator=stream) * 2 * math.pi
        both = torch.stack([direction, math.pi / 2 + direction])  # [2, depth, heads, 1]
        parts = [torch.cat(list(self.magnitudes() * wave), -1) for wave in (both.cos(), both.sin())]
        return torch.stack(parts).flatten(2)

    def forward(self, places: Tensor, extent: float | Tensor) -> list[Rotation]:
        """See `Rope`."""
        across, down = self.frequencies.float().view(2, self.depth, self.heads, 1, -1)  # [depth, heads, 1, h / 2] each
        rows, columns = places[:, None, :, :, None].unbind(-2)  # [B, 1, N, 1] each
        return [
            Rotation.by(columns * across[layer] + rows * down[layer], interleaved=True) for layer in range(self.depth)
        ]


class DinoV3(Rope):
    """As axial, but of places normalised to [-1, 1] over the image, so that every resolution spans the same.

    Source: DINOv3 (arXiv 2508.10104), code `RopePositionEmbedding`, normalised separately, without its augmentations.
    """

    frequencies: Tensor

    def __init__(self, theta: float, depth: int, heads: int, channels: int) -> None:
        super().__init__(theta, depth, heads, channels)
        self.register_buffer("frequencies", 2 * math.pi * self.magnitudes(), persistent=False)

    def forward(self, places: Tensor, extent: float | Tensor) -> list[Rotation]:
        """See `Rope`."""
        spread = (places + 0.5) / extent * 2 - 1
        angles = (spread[..., None] * self.frequencies).flatten(-2)[:, None]
        return [Rotation.by(angles, interleaved=False)] * self.depth


KINDS: dict[str, type[Rope]] = {"axial": Axial, "mixed": Mixed, "dinov3": DinoV3}
