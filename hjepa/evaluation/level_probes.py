"""What a single cell of each level knows of its image's class: a linear probe for every level of the hierarchy."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hjepa.data import Dataset, ImageSource
from hjepa.evaluation.features import Features, Indices
from hjepa.evaluation.linear import linear_probe
from hjepa.models.level_targets import LevelTargets
from hjepa.runtime.streams import numpy_generator

#: Named so that no other draw moves; every encoder and seed sees the same cells.
STREAM = "probe.cells"


class MapEncoder(Protocol):
    """What the levels' maps are made of."""

    def modules(self) -> Iterator[nn.Module]:
        """The encoder and its parts."""

    def eval(self) -> Any:
        """Switch to evaluation."""

    def outputs(self, images: Tensor, blocks: Any) -> dict[int, Tensor]:
        """Tokens [B, N, D] after each of these blocks."""


class Cells:
    """As an encoder: one cell of each level's target map, drawn for each image, in the order of the images.

    Averaged over a map, every level pooled from the same tokens is the same vector; a probe of the averages would
    say nothing of levels. So the probe sees one cell, as the predictor of the level does.
    """

    def __init__(self, encoder: MapEncoder, targets: LevelTargets, draws: Tensor) -> None:
        """draws: [n, L] in 0..1, of the images in the order in which they will come."""
        self._encoder, self._targets, self._draws = encoder, targets, draws
        self._seen = 0

    def modules(self) -> Iterator[nn.Module]:
        """The encoder's."""
        return self._encoder.modules()

    def eval(self) -> Any:
        """The encoder's."""
        return self._encoder.eval()

    def features(self, images: Tensor, kind: Literal["last", "last4"]) -> Tensor:
        """Images [B, 3, s, s] -> [B, L * D] float32, level 0 first; `kind` has no meaning here."""
        draws = self._draws[self._seen : self._seen + len(images)].to(images.device)
        self._seen += len(images)
        maps = self._targets.maps(self._encoder.outputs(images, self._targets.blocks))
        return torch.cat([_drawn(cells, draws[:, level]) for level, cells in enumerate(maps)], 1)


def level_probes(
    encoder: MapEncoder,
    targets: LevelTargets,
    dataset: Dataset,
    embed: Callable[[Cells, ImageSource, Indices], Features],
) -> dict[str, float]:
    """`probe.level<l>.top1` on the hold-out of a probe fitted on one cell of level l of each training image."""
    levels: list[list[tuple[Features, Indices]]] = []
    for number, source in enumerate((dataset.fit, dataset.holdout)):
        draws = numpy_generator(0, STREAM, number).random((len(source), targets.levels))
        features = embed(Cells(encoder, targets, torch.from_numpy(draws)), source, np.arange(len(source)))
        parts = np.split(features, targets.levels, axis=1)
        levels.append([(np.ascontiguousarray(part), source.labels) for part in parts])
    return {
        f"probe.level{level}.top1": linear_probe(fitted, held, dataset.num_classes).top1
        for level, (fitted, held) in enumerate(zip(*levels, strict=True))
    }


def _drawn(cells: Tensor, draws: Tensor) -> Tensor:
    """Cells [B, G, D] -> the drawn one of each image, [B, D]."""
    places = (draws * cells.shape[1]).long()
    return cells[torch.arange(len(cells), device=cells.device), places].float()
