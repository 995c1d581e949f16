"""What each level's predictor reads of the context: visible tokens, and what levels add to them."""

from typing import Literal

from torch import Tensor, nn

from hjepa.models.cross_level import CrossLevels, Direction
from hjepa.models.fpn import FeaturePyramid, LevelMap, spread, visible_maps
from hjepa.models.level_targets import Pooling


class ContextLevels(nn.Module):
    """One context for each level: the visible tokens plus what pyramid and cross-level attention add at their places.

    Level l of the context is the mean of the visible tokens in each cell; a token reads it at the cell
    that it lies in. The pyramid's output and the attention's (which sees levels and pyramid) are added to
    the tokens, both from zero at the start, so that a model begins as it would without them. Only visible
    tokens go in: the student's side, never the target's. Source: method C.5; the sum is this project's own.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        levels: int,
        pooling: Pooling,
        *,
        fpn: Literal["none", "add", "concat"],
        cross: Literal["none"] | Direction,
    ) -> None:
        super().__init__()
        self.levels, self.pooling = levels, pooling
        self.pyramid = FeaturePyramid(width, levels, fpn, pooling) if fpn != "none" else None
        self.cross = CrossLevels(width, heads, levels, cross) if cross != "none" else None

    def forward(self, tokens: Tensor, visible: Tensor, grid: int) -> list[Tensor]:
        """Visible tokens [B, K, D] at patches [B, K] of a grid -> each level's context [B, K, D], finest first."""
        maps = visible_maps(tokens, visible, grid, self.levels, self.pooling)
        contexts = [tokens] * self.levels
        gains: list[Tensor] = []
        if self.pyramid is not None:
            gains = [self._at(level, visible, grid, index) for index, level in enumerate(self.pyramid(maps))]
            contexts = [tokens + gain for gain in gains]
        if self.cross is not None:
            own = [tokens, *(self._at(maps[level], visible, grid, level) for level in range(1, self.levels))]
            if gains:
                own = [level + gain for level, gain in zip(own, gains, strict=True)]
            for level, gain in self.cross(own).items():
                contexts[level] = contexts[level] + gain
        return contexts

    def _at(self, level: LevelMap, visible: Tensor, grid: int, index: int) -> Tensor:
        """A level's features at the cells in which the visible patches lie, [B, K, D]."""
        fine = spread(level.features, grid, index, self.pooling).flatten(2).transpose(1, 2)
        return fine.gather(1, visible.unsqueeze(-1).expand(-1, -1, fine.shape[-1]))
