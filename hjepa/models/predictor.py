"""The predictor: context tokens and position queries -> predicted embeddings."""

import torch
from torch import Tensor, nn

from hjepa.config import PredictorConfig
from hjepa.models.blocks import Block, reset
from hjepa.models.positions import grid_positions


class Predictor(nn.Module):
    """A narrow ViT over context tokens and one mask token per query.

    Serves the levels whose cells per side are `cells`; with several, a level embedding is added to
    the queries. Takes embeddings of `encoder_width` and predicts `wide` numbers a cell. Positions are sine-cosine at cell centres in level-0 units.
    Source: I-JEPA (arXiv 2301.08243), section 3, code `VisionTransformerPredictor`.
    """

    def __init__(self, config: PredictorConfig, encoder_width: int, wide: int, grid: int, cells: list[int]) -> None:
        super().__init__()
        width = config.width
        self.context_positions: Tensor
        self.embed = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.level_embedding = nn.Parameter(torch.zeros(len(cells), width)) if len(cells) > 1 else None
        self.blocks = nn.ModuleList(Block(width, config.heads, mlp_ratio=4.0) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.project = nn.Linear(width, wide)
        self.register_buffer("context_positions", grid_positions(grid, width), persistent=False)
        for index, count in enumerate(cells):
            self.register_buffer(f"positions_{index}", grid_positions(grid, width, count), persistent=False)
        reset(self)

    def forward(self, context: Tensor, visible: Tensor, queries: Tensor, level: int = 0) -> Tensor:
        """Predictions [B, M, T, D] of M groups of T queries, each group predicted on its own.

        context: [B, K, D] encoder output; visible: [B, K] its patch indices; queries: [B, M, T]
        cell indices of the level; level: which of this predictor's levels.
        """
        batch, groups, count = queries.shape
        tokens = self.embed(context) + self.context_positions[visible]
        asked = self.mask_token + getattr(self, f"positions_{level}")[queries]
        if self.level_embedding is not None:
            asked = asked + self.level_embedding[level]
        asked = asked.flatten(0, 1)
        tokens = tokens.repeat_interleave(groups, 0) if groups > 1 else tokens
        mixed = torch.cat([tokens, asked.to(tokens.dtype)], 1)
        for block in self.blocks[:-1]:
            mixed = block(mixed)
        # Nothing reads the context's outputs of the last block.
        mixed = self.blocks[-1](mixed, last=count)
        out: Tensor = self.project(self.norm(mixed))
        return out.view(batch, groups, count, -1)
