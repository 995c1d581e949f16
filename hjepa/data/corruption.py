"""What hides a part of the view from the student alone: erased boxes and pixel noise; 0 is grey in normalised views.

Source: denoising on the context branch; boxes as in Random Erasing (arXiv 1708.04896), the ranges of torchvision's
RandomErasing.
"""

import torch
from torch import Tensor

ERASED_SHARE = (0.02, 1.0 / 3.0)
ERASED_RATIO = (0.3, 1.0 / 0.3)
#: An odd number that scatters neighbours (2^32 over the golden ratio, as a signed 32-bit number).
GOLDEN = 0x9E3779B9 - 2**32


def erase(views: Tensor, box: Tensor) -> Tensor:
    """Float32 [B, 3, s, s] with 0 inside `box`, float32 [B, 4] as top, left, height, width in pixels."""
    top, left, height, width = box.to(views.device, non_blocking=True)[:, :, None].unbind(1)
    pixel = torch.arange(views.shape[-1], device=views.device)[None, :]
    rows, columns = (pixel >= top) & (pixel < top + height), (pixel >= left) & (pixel < left + width)
    return views.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def gaussian(keys: Tensor, shape: torch.Size, device: torch.device) -> Tensor:
    """Standard normal float32 [B, *shape], a function of each image's key (int32 [B]) alone.

    Hashed numbers instead of a generator: drawn on the device, in any slices, they are the same on each.
    """
    count = torch.arange(shape.numel(), device=device, dtype=torch.int32)
    numbers = count[None, :] * GOLDEN + keys.to(device, non_blocking=True)[:, None]
    uniform = _mixed(numbers).bitwise_right_shift_(8).to(torch.float32)  # 24 bits, around 0
    return uniform.add_(0.5).mul_(2.0**-23).erfinv_().mul_(2.0**0.5).reshape(len(keys), *shape)


def _mixed(number: Tensor) -> Tensor:
    """A well-mixed number for each int32 given, in place (C. Wellons' lowbias32; int32 products wrap)."""
    for bits, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32), (16, 1)):
        number ^= (number >> bits) & (2 ** (32 - bits) - 1)  # the shift fills with the sign: cut it off
        number *= factor
    return number
