"""The ViT encoder; it processes visible tokens only."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.config import ModelConfig
from hjepa.models.blocks import Block, reset
from hjepa.models.positions import grid_positions

LAST_BLOCKS = 4


class Encoder(nn.Module):
    """ViT without class token.

    Source: I-JEPA (arXiv 2301.08243), code `vision_transformer.py`; no dropout, final LayerNorm,
    positions added before masking. The patch embedding is the stride-p convolution, written as a
    linear map of unfolded patches, so that masked patches are not embedded at all.
    """

    def __init__(self, config: ModelConfig, grid: int) -> None:
        super().__init__()
        width, depth, heads = config.shape
        self.width = width
        self.grid = grid
        self.patch_size = config.patch_size
        self.drop_path = config.drop_path
        self.patch_embed = nn.Linear(3 * config.patch_size**2, width)
        self.blocks = nn.ModuleList(Block(width, heads, config.mlp_ratio, config.layer_scale) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.zeros(grid * grid, width))
        else:
            self.register_buffer("positions", grid_positions(grid, width), persistent=False)
        reset(self)

    def forward(self, images: Tensor, visible: Tensor | None = None, keep: Tensor | None = None) -> Tensor:
        """Images [B, 3, s, s] -> tokens [B, K, D].

        visible: [B, K] patch indices to process (all N when None). keep: [2 * depth, B] factors of
        the residual branches, see `draw_keep`.
        """
        tokens = self._embed(images, visible)
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, None if keep is None else keep[2 * index : 2 * index + 2])
        normed: Tensor = self.norm(tokens)
        return normed

    def features(self, images: Tensor, kind: Literal["last", "last4"]) -> Tensor:
        """Average-pooled tokens, float32: [B, D] of the last block, or [B, 4 D] of the last four.

        Each of the last four is normalised by the final LayerNorm first (a depth below four gives fewer).
        Source: I-JEPA (arXiv 2301.08243), appendix A.2.
        """
        tokens = self._embed(images, None)
        first = len(self.blocks) - (LAST_BLOCKS if kind == "last4" else 1)
        pooled = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index >= first:
                pooled.append(self.norm(tokens).float().mean(1))
        return torch.cat(pooled, 1)

    def _embed(self, images: Tensor, visible: Tensor | None) -> Tensor:
        patches = self._patches(images)
        positions: Tensor = self.positions
        if visible is not None:
            patches = patches.gather(1, visible.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
            positions = positions[visible]
        embedded: Tensor = self.patch_embed(patches) + positions
        return embedded

    def _patches(self, images: Tensor) -> Tensor:
        """[B, 3, s, s] -> [B, N, 3 p p], in the order of a convolution's weights."""
        batch, channels, side, _ = images.shape
        size, grid = self.patch_size, self.grid
        assert side == size * grid, f"images of {side} px; this encoder takes {size * grid}"
        cells = images.view(batch, channels, grid, size, grid, size)
        return cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, channels * size * size)


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
