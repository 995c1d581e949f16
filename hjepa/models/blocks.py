"""The pre-norm transformer block."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hjepa.models.attention import attend
from hjepa.models.rope import Rotation


class Attention(nn.Module):
    """Multi-head self-attention over [B, N, D]; `kernel` names the attention function's kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kernel = "eager"
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, last: int | None = None, rotation: Rotation | None = None) -> Tensor:
        """[B, N, D] -> [B, N, D], or the `last` outputs only, [B, last, D]; rotation turns queries and keys."""
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        # One copy here for all three; the products would else make one each.
        query, key, value = qkv.permute(2, 0, 3, 1, 4).contiguous()
        if last is not None:
            query = query[:, :, -last:]
        if rotation is not None:
            key = rotation(key)
            query = (rotation if last is None else rotation.last(last))(query)
        mixed = attend(query, key, value, self.kernel)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, -1, width))
        return out


class Block(nn.Module):
    """x + s1 * attention(norm(x)), then x + s2 * mlp(norm(x)).

    s1, s2 are learned per-channel scales when `layer_scale` is a number, and absent when it is None.
    A `checkpointed` block keeps only its input while training and computes the rest again in the backward pass.
    Source: ViT (arXiv 2010.11929); LayerScale: CaiT (arXiv 2103.17239), equation 6; checkpointing: Chen et al.
    2016 (arXiv 1604.06174).
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
        self.checkpointed = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        """As nn.Module's, hooks and compiled code included; twice in a step where the block is checkpointed."""
        call = super().__call__
        if self.checkpointed and self.training and torch.is_grad_enabled():
            # The factors of stochastic depth come from outside, so nothing inside draws at random.
            return checkpoint(call, *args, use_reentrant=False, preserve_rng_state=False, **named)
        return call(*args, **named)

    def forward(
        self, tokens: Tensor, keep: Tensor | None = None, last: int | None = None, rotation: Rotation | None = None
    ) -> Tensor:
        """[B, N, D] -> [B, N, D], or the `last` outputs only.

        keep: [2, B] factors of the residual branches (stochastic depth); rotation: of queries and keys.
        """
        branch = self.attention(self.norm1(tokens), last, rotation)
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
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


@torch.no_grad()
def rescale_by_depth(blocks: Iterable[nn.Module]) -> None:
    """Divide the weights that write to the residual stream in block l = 1, 2, ... by sqrt(2 l).

    Source: BEiT (arXiv 2106.08254) and I-JEPA code, `fix_init_weight`.
    """
    for number, block in enumerate(blocks, 1):
        assert isinstance(block, Block)
        for part in (block.attention.proj, block.fc2):
            part.weight.div_(math.sqrt(2.0 * number))
