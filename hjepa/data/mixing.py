"""Mixup and CutMix of the images of a batch and of their labels, where a term learns labels.

Source: mixup (arXiv 1710.09412), CutMix (arXiv 1905.04899). Differs from source in the partner: image 2 i and
image 2 i + 1 of the batch, whose order is random anyway, are each other's, so that any even part of a batch is
mixed as in the whole.
"""

from dataclasses import dataclass

from torch import Tensor

from hjepa.config import ViewsConfig
from hjepa.runtime.streams import numpy_generator


@dataclass(frozen=True)
class Mixing:
    """How the images of one step are mixed: own: the share of its own that an image keeps.

    box: rows and columns (top, bottom, left, right) that come from the partner; None blends all pixels.
    """

    own: float
    box: tuple[int, int, int, int] | None = None


def draw_mixing(config: ViewsConfig, seed: int, step: int) -> Mixing | None:
    """The mixing of one step, one for the whole batch; None where both techniques are off."""
    if not config.mixes:
        return None
    random = numpy_generator(seed, "views.mixing", step)
    if config.mixup and not (config.cutmix and random.random() < 0.5):
        return Mixing(float(random.beta(config.mixup, config.mixup)))
    size = config.size
    side = size * (1.0 - random.beta(config.cutmix, config.cutmix)) ** 0.5
    ends = []
    for centre in random.integers(0, size, 2):
        ends += [max(0, round(centre - side / 2)), min(size, round(centre + side / 2))]
    top, bottom, left, right = ends
    return Mixing(1.0 - (bottom - top) * (right - left) / size**2, (top, bottom, left, right))


def mix_images(images: Tensor, mixing: Mixing) -> Tensor:
    """Float32 [B, 3, s, s], B even: each image mixed with its partner."""
    partners = _partners(images)
    if mixing.box is None:
        return mixing.own * images + (1.0 - mixing.own) * partners
    top, bottom, left, right = mixing.box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return mixed


def mix_labels(labels: Tensor, mixing: Mixing) -> Tensor:
    """Distributions over classes, float32 [B, classes], B even: each one blended with its partner's."""
    return mixing.own * labels + (1.0 - mixing.own) * _partners(labels)


def _partners(rows: Tensor) -> Tensor:
    assert len(rows) % 2 == 0, "partners are neighbours"
    return rows.reshape(-1, 2, *rows.shape[1:]).flip(1).flatten(0, 1)
