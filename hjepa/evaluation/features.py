"""Frozen features of stored images."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hjepa.data import ImageSource, Views
from hjepa.runtime.device import Device

Features = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

#: Images per forward pass. Gradients are off, so memory is no concern and larger is not faster.
BATCH = 256
#: Raw pixels are averaged to at most this many cells a side. On CIFAR-10 that is no weaker a floor than the full
#: resolution: 10,000 images score 39.1 % (probe) and 35.7 % (k-NN) with 8 cells, 39.3 % and 33.2 % with 16.
PIXEL_CELLS = 8


class FeatureEncoder(Protocol):
    """What the evaluation needs of an encoder."""

    def modules(self) -> Iterator[nn.Module]:
        """The encoder and its parts."""

    def eval(self) -> Any:
        """Switch to evaluation."""

    def features(self, images: Tensor, kind: Literal["last", "last4"]) -> Tensor:
        """Float [B, 3, s, s] -> float32 [B, F]."""


def extract(
    encoder: FeatureEncoder,
    source: ImageSource,
    indices: Indices,
    views: Views,
    device: Device,
    kind: Literal["last", "last4"],
) -> Features:
    """Features [n, F] of `source[indices]` by the unaugmented view; the encoder is left as it was.

    Raises FloatingPointError when a feature is not finite.
    """
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()

    def embed(images: Tensor) -> Tensor:
        view = views.plain(images.to(device.device, non_blocking=True))
        with device.autocast():
            return encoder.features(view, kind)

    try:
        features = _gather(source, indices, embed)
    finally:
        for module, mode in modes:
            module.training = mode
    if not np.isfinite(features).all():
        raise FloatingPointError("the encoder's features are not finite")
    return features


def pixels(source: ImageSource, indices: Indices) -> Features:
    """Raw pixels [n, 3 c c] in 0..1 at the stored size, averaged to at most 8 x 8 cells."""

    def embed(images: Tensor) -> Tensor:
        cells = min(PIXEL_CELLS, images.shape[-1])
        return nn.functional.adaptive_avg_pool2d(images.float() / 255.0, cells).flatten(1)

    return _gather(source, indices, embed)


@torch.no_grad()
def _gather(source: ImageSource, indices: Indices, embed: Callable[[Tensor], Tensor]) -> Features:
    rows = [embed(images).float().cpu().numpy() for images in source.batches(_chunks(indices))]
    gathered: Features = np.concatenate(rows)
    return gathered


def _chunks(indices: Indices) -> list[Indices]:
    return [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
