"""RandAugment: random operations of fourteen, each image its own, all at one strength. Images are float32 in 0..1.

Source: RandAugment (arXiv 1909.13719); operations and their ranges as in torchvision's RandAugment. Differs from
source in that pixels stay real numbers between the operations.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

STRONGEST = 30
#: Of images [n, 3, s, s] at a strength in -1..1 (0..1 where one has no direction).
Operation = Callable[[Tensor, float], Tensor]


def _affine(images: Tensor, angle: float = 0.0, **options: list[float]) -> Tensor:
    """Moved by the nearest pixel; black comes in."""
    settings = {"translate": [0, 0], "shear": [0.0, 0.0], **options}
    moved: Tensor = F.affine(images, angle=angle, scale=1.0, **settings)
    return moved


def _slant(strength: float) -> float:
    return math.degrees(math.atan(0.3 * strength))


def _shift(images: Tensor, strength: float) -> int:
    return int(150.0 / 331.0 * images.shape[-1] * strength)


#: Operation and whether it has a direction.
OPERATIONS: tuple[tuple[Operation, bool], ...] = (
    (lambda images, _: images, False),
    (lambda images, strength: _affine(images, shear=[_slant(strength), 0.0], center=[0, 0]), True),
    (lambda images, strength: _affine(images, shear=[0.0, _slant(strength)], center=[0, 0]), True),
    (lambda images, strength: _affine(images, translate=[_shift(images, strength), 0]), True),
    (lambda images, strength: _affine(images, translate=[0, _shift(images, strength)]), True),
    (lambda images, strength: F.rotate(images, 30.0 * strength), True),
    (lambda images, strength: F.adjust_brightness(images, 1.0 + 0.9 * strength), True),
    (lambda images, strength: F.adjust_saturation(images, 1.0 + 0.9 * strength), True),
    (lambda images, strength: F.adjust_contrast(images, 1.0 + 0.9 * strength), True),
    (lambda images, strength: F.adjust_sharpness(images, 1.0 + 0.9 * strength), True),
    (lambda images, strength: F.posterize(images, 8 - round(4 * strength)), False),
    (lambda images, strength: F.solarize(images, 1.0 - strength), False),
    (lambda images, _: F.autocontrast(images), False),
    (lambda images, _: F.equalize(images), False),
)


def draw_operations(batch: int, count: int, stream: torch.Generator) -> Tensor:
    """Int64 [B, count]: twice the number of an operation, plus 1 where its direction is reversed."""
    number = torch.randint(0, len(OPERATIONS), (batch, count), generator=stream)
    reverse = torch.randint(0, 2, (batch, count), generator=stream)
    directed = torch.tensor([directed for _, directed in OPERATIONS])
    return 2 * number + reverse * directed[number]


def randaugment(images: Tensor, operations: Tensor, magnitude: int) -> Tensor:
    """Images float32 [B, 3, s, s] after each one's `operations` (int64 [B, n], on the CPU) at `magnitude` of 30."""
    for step in range(operations.shape[1]):
        chosen, out = operations[:, step], torch.empty_like(images)
        for code in sorted(set(chosen.tolist())):
            # The operations lie on the CPU, so that picking rows never waits for the device.
            rows = (chosen == code).nonzero().flatten().to(images.device, non_blocking=True)
            strength = magnitude / STRONGEST
            out[rows] = OPERATIONS[code // 2][0](images[rows], -strength if code % 2 else strength)
        images = out
    return images
