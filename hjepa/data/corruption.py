"""What hides a part of the view from the student alone: erased boxes and pixel noise; 0 is grey in normalised views.

Source: denoising on the context branch; boxes as in Random Erasing (arXiv 1708.04896), the ranges of torchvision's
RandomErasing.
"""

import torch
from torch import Tensor

ERASED_SHARE = (0.02, 1.0 / 3.0)
ERASED_RATIO = (0.3, 1.0 / 0.3)
LOW_32 = 0xFFFFFFFF


def erase(views: Tensor, box: Tensor) -> Tensor:
    """Float32 [B, 3, s, s] with 0 inside `box`, float32 [B, 4] as top, left, height, width in pixels."""
    top, left, height, width = box.to(views.device, non_blocking=True)[:, :, None].unbind(1)
    pixel = torch.arange(views.shape[-1], device=views.device)[None, :]
    rows, columns = (pixel >= top) & (pixel < top + height), (pixel >= left) & (pixel < left + width)
    return views.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def gaussian(keys: Tensor, shape: torch.Size, device: torch.device) -> Tensor:
    """Standard normal float32 [B, *shape], a function of each image's key (int64 [B]) alone.

    Hashed numbers instead of a generator: drawn on the device, in any slices, they are the same on each.
    """
    count = torch.arange(shape.numel(), device=device)
    key = keys.to(device, non_blocking=True)[:, None]
    mixed = _mixed(count[None, :] * 0x9E3779B9 + (key & LOW_32))
    mixed = _mixed(mixed ^ (key >> 32))  # twice, so that no two images' numbers are shifts of each other
    uniform = ((mixed >> 8).to(torch.float32) + 0.5) * 2.0**-24
    return torch.erfinv(2.0 * uniform - 1.0).mul(2.0**0.5).reshape(len(keys), *shape)


def _mixed(number: Tensor) -> Tensor:
    """A well-mixed 32-bit number for each one given, in int64 (C. Wellons' lowbias32)."""
    number = number & LOW_32
    number = ((number ^ (number >> 16)) * 0x7FEB352D) & LOW_32
    number = ((number ^ (number >> 15)) * 0x846CA68B) & LOW_32
    return number ^ (number >> 16)
