"""The predictor: context tokens and position queries -> predicted embeddings."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hjepa.config import ModelConfig, PredictorConfig
from hjepa.models.blocks import Block, reset
from hjepa.models.positions import centres, grid_positions, sincos
from hjepa.models.rope import KINDS, Rotation


class Predictor(nn.Module):
    """A narrow ViT over context tokens and one mask token per query; it predicts `wide` numbers a cell.

    Serves these levels of a model trained on `grid` patches a side; with several, a level embedding is
    added to the queries. Tokens are placed at the centres of their cells, in patches of that grid, by
    sine-cosine embeddings, by the encoder's kind of rotation, or by both, as `model` says.
    Source: I-JEPA (arXiv 2301.08243), section 3, code `VisionTransformerPredictor`.
    """

    def __init__(
        self,
        config: PredictorConfig,
        model: ModelConfig,
        wide: int,
        grid: int,
        levels: Sequence[int],
        pooling: str = "adaptive",
    ) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.width, self.grid, self.levels, self.pooling = width, grid, levels, pooling
        self.absolute = model.positions != "none"
        self.embed = nn.Linear(model.shape[0], width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.level_embedding = nn.Parameter(torch.zeros(len(levels), width)) if len(levels) > 1 else None
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio=4.0) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.project = nn.Linear(width, wide)
        if self.absolute:
            self.register_buffer("context_positions", grid_positions(grid, width), persistent=False)
            for index, level in enumerate(levels):
                table = grid_positions(grid, width, level, pooling)
                self.register_buffer(f"positions_{index}", table, persistent=False)
        self.rope = None
        if model.rope != "none":
            self.rope = KINDS[model.rope](model.theta, config.depth, heads, width // heads)
        reset(self)

    def forward(
        self,
        context: Tensor,
        visible: Tensor | None,
        queries: Tensor,
        level: int = 0,
        *,
        places: Tensor | None = None,
        grid: int | None = None,
    ) -> Tensor:
        """Predictions [B, M, T, D] of M groups of T queries, each group predicted on its own.

        context: [B, K, D] encoder output; visible: [B, K] its patch indices, or else places: [B, K, 2]
        the (row, column) of its tokens in patches of the trained grid; queries: [B, M, T] cell indices of
        the level; level: which of this predictor's levels; grid: patches a side of the grid that `visible`
        and `queries` index, where it is not the trained one (both span the same image).
        """
        batch, groups, count = queries.shape
        grid = grid or self.grid
        if places is not None:
            positions = sincos(places, self.width) if self.absolute else None
        else:
            assert visible is not None
            positions, places = self._placed("context_positions", grid, 0, visible)
        asked, asked_places = self._placed(f"positions_{level}", grid, self.levels[level], queries)
        tokens = self.embed(context)
        if positions is not None:
            tokens = tokens + positions
        asked = self.mask_token.expand(batch, groups, count, -1) if asked is None else self.mask_token + asked
        if self.level_embedding is not None:
            asked = asked + self.level_embedding[level]
        asked = asked.flatten(0, 1)
        tokens = tokens.repeat_interleave(groups, 0) if groups > 1 else tokens
        mixed = torch.cat([tokens, asked.to(tokens.dtype)], 1)
        mixed = self._mix(mixed, self._rotations(places, asked_places), count)
        out: Tensor = self.project(self.norm(mixed))
        return out.view(batch, groups, count, -1)

    def _mix(self, mixed: Tensor, rotations: Sequence[Rotation | None], count: int) -> Tensor:
        """The blocks' output at the last `count` tokens."""
        for block, rotation in zip(self.blocks[:-1], rotations[:-1], strict=True):
            mixed = block(mixed, rotation=rotation)
        # Nothing reads the context's outputs of the last block.
        out: Tensor = self.blocks[-1](mixed, last=count, rotation=rotations[-1])
        return out

    def _placed(self, name: str, grid: int, level: int, indices: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Position embeddings [..., width] and places [..., 2] of a grid's cells; None where nothing asks for them.

        name: of the table of embeddings for the trained grid.
        """
        where = None
        if self.rope is not None or grid != self.grid:
            device = indices.device
            unit = self.grid / grid
            where = centres(grid, level, self.pooling, unit=unit, device=device, dtype=torch.float32)
        embedded = None
        if self.absolute:
            table = getattr(self, name) if where is None or grid == self.grid else sincos(where, self.width)
            embedded = table[indices]
        return embedded, None if where is None else where[indices]

    def _rotations(self, places: Tensor | None, asked: Tensor | None) -> Sequence[Rotation | None]:
        """Each block's rotation for context tokens at `places` [B, K, 2] and queries `asked` [B, M, T, 2]."""
        if self.rope is None or places is None or asked is None:
            return [None] * len(self.blocks)
        together = torch.cat([places.repeat_interleave(asked.shape[1], 0), asked.flatten(0, 1)], 1)
        rotations: list[Rotation] = self.rope(together, float(self.grid))
        return rotations
