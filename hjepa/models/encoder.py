"""The ViT encoder; it processes visible tokens only."""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.config import ModelConfig
from hjepa.models.blocks import Block, reset
from hjepa.models.patches import PatchEmbed, patchify
from hjepa.models.positions import centres, grid_positions, interpolated, sincos
from hjepa.models.rope import KINDS, Rotation

LAST_BLOCKS = 4


class Encoder(nn.Module):
    """ViT without class token.

    Source: I-JEPA (arXiv 2301.08243), code `vision_transformer.py`; no dropout, final LayerNorm,
    positions added before masking. Takes images of any side that the patch size divides: absolute
    positions are then stretched over the trained grid, sine-cosine computed and learned interpolated;
    rotations are by places in patches of `patch_size` pixels, or as their paper normalises them.
    """

    def __init__(self, config: ModelConfig, grid: int) -> None:
        super().__init__()
        width, depth, heads = config.shape
        self.config = config
        self.width = width
        self.grid = grid
        self.patch_size = config.patch_size
        self.drop_path = config.drop_path
        self.patch_embed = PatchEmbed(config.patch_size, width, config.patch_sizes or ())
        self.blocks = nn.ModuleList(Block(width, heads, config.mlp_ratio, config.layer_scale) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.zeros(grid * grid, width))
        else:
            table = grid_positions(grid, width) if config.positions == "sincos" else None
            self.register_buffer("positions", table, persistent=False)
        self.rope = KINDS[config.rope](config.theta, depth, heads, width // heads) if config.rope != "none" else None
        reset(self)

    def forward(
        self,
        images: Tensor,
        visible: Tensor | None = None,
        keep: Tensor | None = None,
        patch_size: int | None = None,
    ) -> Tensor:
        """Images [B, 3, s, s] -> tokens [B, K, D].

        visible: [B, K] patch indices to process (all N when None). keep: [2 * depth, B] factors of
        the residual branches, see `draw_keep`. patch_size: one of `model.patch_sizes` (default: the model's).
        """
        size = patch_size or self.patch_size
        tokens = self._embed(images, visible, size)
        rotations = self._rotations(images, visible, size)
        for index, block in enumerate(self.blocks):
            factors = None if keep is None else keep[2 * index : 2 * index + 2]
            tokens = block(tokens, factors, rotation=rotations[index])
        normed: Tensor = self.norm(tokens)
        return normed

    def outputs(self, images: Tensor, blocks: Collection[int], patch_size: int | None = None) -> dict[int, Tensor]:
        """The tokens [B, N, D] of whole images after each of these blocks, counted from 1; the last block's normalised.

        patch_size: as for `forward`.
        """
        size = patch_size or self.patch_size
        tokens = self._embed(images, None, size)
        rotations = self._rotations(images, None, size)
        after = {}
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens, rotation=rotations[number - 1])
            if number in blocks:
                after[number] = self.norm(tokens) if number == len(self.blocks) else tokens
        return after

    def features(self, images: Tensor, kind: Literal["last", "last4"]) -> Tensor:
        """Average-pooled tokens, float32: [B, D] of the last block, or [B, 4 D] of the last four.

        Each of the last four is normalised by the final LayerNorm first (a depth below four gives fewer).
        Source: I-JEPA (arXiv 2301.08243), appendix A.2.
        """
        tokens = self._embed(images, None, self.patch_size)
        rotations = self._rotations(images, None, self.patch_size)
        first = len(self.blocks) - (LAST_BLOCKS if kind == "last4" else 1)
        pooled = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, rotation=rotations[index])
            if index >= first:
                pooled.append(self.norm(tokens).float().mean(1))
        return torch.cat(pooled, 1)

    def patches(self, images: Tensor) -> Tensor:
        """[B, 3, s, s] -> [B, N, 3 p p]: the pixels of each patch."""
        return patchify(images, self.patch_size)

    def _embed(self, images: Tensor, visible: Tensor | None, size: int) -> Tensor:
        patches = patchify(images, size)
        positions = self._positions(images.shape[-1] // size)
        if visible is not None:
            patches = patches.gather(1, visible.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
            positions = None if positions is None else positions[visible]
        embedded: Tensor = self.patch_embed(patches, size)
        return embedded if positions is None else embedded + positions

    def _positions(self, grid: int) -> Tensor | None:
        """Absolute embeddings of a grid's patches [grid * grid, D], stretched over the trained grid."""
        if self.positions is None or grid == self.grid:
            return self.positions
        if self.config.positions == "learned":
            return interpolated(self.positions, grid)
        places = centres(grid, unit=self.grid / grid, device=self.positions.device, dtype=torch.float32)
        return sincos(places, self.width)

    def _rotations(self, images: Tensor, visible: Tensor | None, size: int) -> Sequence[Rotation | None]:
        """Each block's rotation of queries and keys, by the original places of the tokens."""
        if self.rope is None:
            return [None] * len(self.blocks)
        side = images.shape[-1]
        places = centres(side // size, unit=size / self.patch_size, device=images.device, dtype=torch.float32)
        places = places[visible] if visible is not None else places.unsqueeze(0)
        rotations: list[Rotation] = self.rope(places, side / self.patch_size)
        return rotations


def draw_keep(rate: float, depth: int, batch: int, stream: torch.Generator) -> Tensor:
    """Stochastic-depth factors [2 * depth, B]: 0 with the block's rate, else 1 / (1 - rate).

    The rate grows linearly from 0 in the first block to `rate` in the last; both branches of a
    block draw for themselves. Source: Huang et al. 2016 (arXiv 1603.09382).
    """
    survive = 1.0 - torch.linspace(0.0, rate, depth).repeat_interleave(2).unsqueeze(1)
    return (torch.rand(2 * depth, batch, generator=stream) < survive) / survive


def normalise(tokens: Tensor) -> Tensor:
    """LayerNorm without affine parameters, in float32. Source: I-JEPA code, `F.layer_norm(h, (D,))`."""
    return F.layer_norm(tokens.float(), (tokens.shape[-1],))
