"""What is drawn for the views of a batch: one row for each image."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

SIMPLE_CROP_PADDING = 4


@dataclass(frozen=True)
class ViewParameters:
    """One row for each image of a batch of B, on the CPU; None where a technique is off. Sliceable.

    stored: side of the stored images; size: side of the view. box: float32 [B, 4] crop as top, left, height, width in
    stored pixels; offset: int64 [B, 2] position down and right, 0..8; flip: bool [B]; choice: int64 [B] operation
    of 3-Augment; sigma: float32 [B] of its blur; factor: float32 [B, 3] and order: int64 [B, 3] of the colour
    jitter; operations: int64 [B, n] of RandAugment. Of the corruption: erased: float32 [B, 4] box in pixels of
    the view, empty where nothing is erased; noise: int32 [B] key of the image's noise.
    """

    batch: int
    stored: int
    size: int
    box: Tensor | None = None
    offset: Tensor | None = None
    flip: Tensor | None = None
    choice: Tensor | None = None
    sigma: Tensor | None = None
    factor: Tensor | None = None
    order: Tensor | None = None
    operations: Tensor | None = None
    erased: Tensor | None = None
    noise: Tensor | None = None

    def __len__(self) -> int:
        return self.batch

    def __getitem__(self, rows: slice) -> "ViewParameters":
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        sliced: dict[str, Any] = {
            name: value[rows] if isinstance(value, Tensor) else value for name, value in values.items()
        }
        return ViewParameters(**sliced | {"batch": len(range(*rows.indices(self.batch)))})

    @property
    def extent(self) -> Tensor:
        """Float32 [B, 4]: top, left, height, width of what the view shows, before its flip, in stored pixels."""
        if self.box is not None:
            return self.box
        corner = torch.zeros(self.batch, 2)
        if self.offset is not None:
            corner = (self.offset - SIMPLE_CROP_PADDING) * (self.stored / self.size)
        return torch.cat([corner, torch.full((self.batch, 2), float(self.stored))], 1)
