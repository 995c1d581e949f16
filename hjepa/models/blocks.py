"""The pre-norm transformer block."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.models.attention import attend


class Attention(nn.Module):
    """Multi-head self-attention over [B, N, D]; `kernel` names the attention function's kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kernel = "eager"
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        """[B, N, D] -> [B, N, D], or the `last` outputs only, [B, last, D]."""
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        # One copy here for all three; the products would else make one each.
        query, key, value = qkv.permute(2, 0, 3, 1, 4).contiguous()
        if last is not None:
            query = query[:, :, -last:]
        mixed = attend(query, key, value, self.kernel)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, -1, width))
        return out


class Block(nn.Module):
    """x + s1 * attention(norm(x)), then x + s2 * mlp(norm(x)).

    s1, s2 are learned per-channel scales when `layer_scale` is a number, and absent when it is None.
    Source: ViT (arXiv 2010.11929); LayerScale: CaiT (arXiv 2103.17239), equation 6.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, layer_scale: float | None = None) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.scale1 = self.scale2 = None
        if layer_scale is not None:
            self.scale1 = nn.Parameter(torch.full((width,), layer_scale))
            self.scale2 = nn.Parameter(torch.full((width,), layer_scale))

    def forward(self, tokens: Tensor, keep: Tensor | None = None, last: int | None = None) -> Tensor:
        """[B, N, D] -> [B, N, D], or the `last` outputs only.

        keep: [2, B] factors of the residual branches (stochastic depth).
        """
        branch = self.attention(self.norm1(tokens), last)
        if last is not None:
            tokens = tokens[:, -last:]
        tokens = tokens + _scaled(branch, self.scale1, None if keep is None else keep[0])
        branch = self.fc2(F.gelu(self.fc1(self.norm2(tokens))))
        return tokens + _scaled(branch, self.scale2, None if keep is None else keep[1])


def _scaled(branch: Tensor, scale: Tensor | None, keep: Tensor | None) -> Tensor:
    if scale is not None:
        branch = branch * scale
    if keep is not None:
        branch = branch * keep.view(-1, 1, 1).to(branch.dtype)
    return branch


def reset(module: nn.Module) -> None:
    """Zero every linear bias; weight matrices are drawn by `runtime.streams.initialise`."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
