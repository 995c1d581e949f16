"""Images as their source stores them, decoded one by one to square uint8 pixels."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]


class Images(Protocol):
    """Images that can be decoded one by one."""

    @property
    def labels(self) -> Labels:
        """int64 [n], -1 where unknown."""

    @property
    def size(self) -> int:
        """Side S in pixels that images are decoded to."""

    def pixels(self, index: int) -> Pixels:
        """One image, uint8 [3, S, S]."""


class ImageSource(Protocol):
    """An indexed set of stored images; its order is random and stratified, so any prefix is a fair sample."""

    @property
    def labels(self) -> Labels:
        """int64 [n], -1 where unknown."""

    def __len__(self) -> int: ...

    def batches(self, index_lists: Sequence[Indices]) -> Iterator[torch.Tensor]:
        """uint8 [b, 3, S, S] on the CPU, one for each index list, in order."""


def square(image: Image.Image, size: int) -> Pixels:
    """RGB pixels [3, size, size]: the centre square of the short side, resized (bicubic, antialiased)."""
    image = image.convert("RGB")
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


@dataclass(frozen=True)
class ArrayImages:
    """Images that lie in one array, uint8 [n, 3, H, H]."""

    array: Pixels
    labels: Labels
    size: int

    def pixels(self, index: int) -> Pixels:
        """One image, uint8 [3, size, size]."""
        image: Pixels = self.array[index]
        if image.shape[-1] == self.size:
            return image
        return square(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), self.size)


@dataclass(frozen=True)
class FileImages:
    """Images that lie in one file each: `names` bytes [n], relative to `folder`."""

    folder: Path
    names: npt.NDArray[np.bytes_]
    labels: Labels
    size: int

    def pixels(self, index: int) -> Pixels:
        """One image, uint8 [3, size, size]. Raises ValueError for a file that is no image."""
        path = self.folder / os.fsdecode(self.names[index])
        try:
            with Image.open(path) as image:
                return square(image, self.size)
        except OSError as error:
            raise ValueError(f"{path}: cannot be read as an image ({error})") from error
