"""Cross-level attention: each level's context looks at the level above, below, or both."""

from typing import Literal

import torch
from torch import Tensor, nn

from hjepa.models.attention import attend
from hjepa.models.blocks import reset

Direction = Literal["top_down", "bottom_up", "both"]


class ZeroLinear(nn.Linear):
    """A linear map that starts at zero, so that the branch it ends starts as absent."""

    def drawn(self, stream: torch.Generator) -> Tensor:
        """Zeros, whatever the stream; see `hjepa.runtime.streams.SelfDrawn`."""
        return torch.zeros_like(self.weight)


class CrossAttention(nn.Module):
    """W_o attention(norm(x) W_q, norm(y) W_k, norm(y) W_v), what a level x gains from others y; W_o starts at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kernel = "eager"
        self.norm_query = nn.LayerNorm(width, eps=1e-6)
        self.norm_others = nn.LayerNorm(width, eps=1e-6)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = ZeroLinear(width, width)
        reset(self)

    def forward(self, tokens: Tensor, others: Tensor) -> Tensor:
        """Tokens [B, K, D] of a level and [B, K', D] of its neighbours -> [B, K, D], to be added to the former."""
        batch, count, width = tokens.shape
        query = self.query(self.norm_query(tokens)).view(batch, count, self.heads, -1).transpose(1, 2)
        pair = self.key_value(self.norm_others(others)).view(batch, others.shape[1], 2, self.heads, -1)
        key, value = pair.permute(2, 0, 3, 1, 4).contiguous()
        mixed = attend(query.contiguous(), key, value, self.kernel)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return out


def neighbours(level: int, levels: int, direction: Direction) -> list[int]:
    """The levels that a level looks at: top_down the next coarser one, bottom_up the next finer one."""
    wanted = {"top_down": [level + 1], "bottom_up": [level - 1], "both": [level - 1, level + 1]}[direction]
    return [other for other in wanted if 0 <= other < levels]


class CrossLevels(nn.Module):
    """One `CrossAttention` for each level that has a level to look at; all look at the levels as they come in.

    Source: method C.5, this project's own definition.
    """

    def __init__(self, width: int, heads: int, levels: int, direction: Direction) -> None:
        super().__init__()
        seen = {level: neighbours(level, levels, direction) for level in range(levels)}
        self.seen = {level: others for level, others in seen.items() if others}
        self.parts = nn.ModuleDict({str(level): CrossAttention(width, heads) for level in self.seen})

    def forward(self, tokens: list[Tensor]) -> dict[int, Tensor]:
        """Tokens [B, K_l, D] per level -> what each level gains, [B, K_l, D], for those that gain anything."""
        return {
            level: self.parts[str(level)](tokens[level], torch.cat([tokens[other] for other in others], 1))
            for level, others in self.seen.items()
        }
