"""A level's probe sees one drawn cell of that level for each image, the same one for every encoder."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hjepa.config import EvaluationConfig, ViewsConfig
from hjepa.data import Dataset, ImageSource, Views
from hjepa.evaluation import Evaluator
from hjepa.evaluation.level_probes import Cells
from hjepa.models.level_targets import LevelTargets
from hjepa.models.patches import patchify
from hjepa.runtime.device import Device

CPU = Device(torch.device("cpu"), "fp32", 1)
CLASSES = 4


class Corners:
    """Grey images of 8 x 8 pixels whose lower right quarter alone tells their class, by its shade."""

    def __init__(self, count: int, seed: int) -> None:
        self.labels = np.random.default_rng(seed).integers(0, CLASSES, count)
        self.images = np.full((count, 3, 8, 8), 100, np.uint8)
        self.images[:, :, 4:, 4:] = (40 * self.labels + 20)[:, None, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, index_lists: Sequence[np.ndarray]) -> Iterator[Tensor]:
        for index in index_lists:
            yield torch.from_numpy(self.images[index])


class Bins(nn.Module):
    """A token says only in which shade its own patch of 2 x 2 pixels is."""

    def outputs(self, images: Tensor, blocks: object) -> dict[int, Tensor]:
        patches = patchify(images, 2).mean(-1, keepdim=True)
        shades = torch.linspace(-2.5, 2.5, 64)
        return {1: torch.exp(-100 * (patches - shades) ** 2)}


def closed() -> ImageSource:
    raise AssertionError("the test split was opened")


def scores(fit: int = 600) -> dict[str, float]:
    images = Corners(fit, 0)
    data = Dataset("corners", CLASSES, "0", images, images, Corners(400, 1), closed)
    evaluator = Evaluator(EvaluationConfig(knn_k=5), data, Views(ViewsConfig(size=8)), CPU)
    return evaluator.levels(Bins(), LevelTargets(levels=3, depth=1, normalises=False))


def test_a_level_is_scored_by_what_one_of_its_cells_knows() -> None:
    found = scores()
    assert list(found) == ["probe.level0.top1", "probe.level1.top1", "probe.level2.top1"]
    # A quarter of the cells of levels 0 and 1 lies in the corner; from the others a class is a guess of four.
    assert abs(found["probe.level0.top1"] - (0.25 + 0.75 / CLASSES)) < 0.07
    assert abs(found["probe.level1.top1"] - (0.25 + 0.75 / CLASSES)) < 0.07
    assert found["probe.level2.top1"] == 1.0  # its one cell is the whole image
    assert scores() == found


def test_every_cell_is_drawn_and_belongs_to_its_own_image() -> None:
    targets = LevelTargets(levels=2, depth=1, normalises=False)
    draws = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Numbered(nn.Module):
        def outputs(self, images: Tensor, blocks: object) -> dict[int, Tensor]:
            own = images[:, 0, 0, 0].view(-1, 1).expand(-1, 16)
            return {1: torch.stack([own, torch.arange(16.0).expand(len(images), -1)], -1)}

    images = torch.arange(500.0).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    cells = Cells(Numbered(), targets, draws)
    rows = torch.cat([cells.features(part, "last") for part in images.split(64)])
    assert rows.shape == (500, 4)
    assert torch.equal(rows[:, 0], torch.arange(500.0)) and torch.equal(rows[:, 2], torch.arange(500.0))
    assert set(rows[:, 1].tolist()) == set(map(float, range(16)))
    assert torch.equal(rows[:, 1], (draws[:, 0] * 16).floor().float())
    assert rows[:, 3].unique().tolist() == [2.5, 4.5, 10.5, 12.5]  # means of four
