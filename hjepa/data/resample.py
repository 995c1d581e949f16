"""Crop, resize, shift and flip as one pair of small matrices per image: rows = Y @ image @ X^T.

Every geometric view is linear and separable, so a batch with parameters of its own for each image is
two batched matrix products, with exact antialiasing, on any device.

Shapes: B batch, S stored side, s side of the view; a matrix is [B or 1, s, S].
"""

import torch
from torch import Tensor


def resize_matrix(start: Tensor, length: Tensor, stored: int, size: int) -> Tensor:
    """[B, size, stored]: bilinear resize of the pixels start .. start + length - 1 to `size` pixels.

    Antialiased where it shrinks; pixels outside the range weigh nothing. `start`, `length`: float32 [B].
    Equal to torchvision's crop followed by `resize(antialias=True)`.
    """
    scale = (length / size)[:, None, None]
    reach = scale.clamp(min=1.0)
    pixel = torch.arange(stored, device=start.device, dtype=torch.float32)[None, None, :]
    inside = pixel - start[:, None, None]  # position within the crop
    centre = (torch.arange(size, device=start.device, dtype=torch.float32)[None, :, None] + 0.5) * scale
    weight = (1.0 - (inside + 0.5 - centre).abs() / reach).clamp(min=0.0)
    weight = weight * ((inside >= 0) & (inside < length[:, None, None]))
    return weight / weight.sum(-1, keepdim=True)


def full_matrix(stored: int, size: int, device: torch.device) -> Tensor:
    """[1, size, stored]: the whole side resized."""
    start = torch.zeros(1, device=device)
    return resize_matrix(start, torch.full_like(start, float(stored)), stored, size)


def shifted(matrix: Tensor, offset: Tensor, padding: int) -> Tensor:
    """[B, size, stored]: rows of `matrix` [1, size, stored], padded by reflection, from `offset` int64 [B] on."""
    size = matrix.shape[1]
    row = torch.arange(size, device=matrix.device)[None, :] + offset[:, None] - padding
    row = (size - 1) - ((size - 1) - row.abs()).abs()
    return matrix[0][row]


def mirrored(matrix: Tensor, flip: Tensor) -> Tensor:
    """[B, size, stored]: the rows of `matrix` [B or 1, size, stored] reversed where `flip` bool [B] says so."""
    return torch.where(flip[:, None, None], matrix.flip(1), matrix)


def resample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Float32 [B, 3, s, s] from float32 [B, 3, S, S] by one matrix each for rows and columns, [B or 1, s, S]."""
    batch, channels, stored, _ = images.shape
    size = rows.shape[1]
    wide = images.reshape(batch, channels * stored, stored) @ columns.mT
    return rows[:, None] @ wide.reshape(batch, channels, stored, size)
