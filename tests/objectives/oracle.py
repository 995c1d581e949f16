"""The deterministic input of the reference values."""

import math

import torch
from torch import Tensor


def det(*shape: int, a: float = 0.37, b: float = 0.73, c: float = 0.11) -> Tensor:
    """sin(a i + c) + cos(b i^2 / sqrt n) / 2 over the flat index i, in double precision."""
    count = math.prod(shape)
    i = torch.arange(count, dtype=torch.float64)
    return (torch.sin(a * i + c) + 0.5 * torch.cos(b * i * i / count**0.5)).reshape(shape)
