"""The same seed is the same draw: cells share data order, masks, crops and the initial weights that both have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hjepa.search.study import Study
from hjepa.training.build import Run, build
from tests.effect_gate import BASE

FACTORS: dict[str, Any] = {
    "layer_scale": {"without": {"model.layer_scale": None}, "with": {"model.layer_scale": 1e-4}},
    "augmentation": {"without": {"views.augmentation": "none"}, "with": {"views.augmentation": "three_augment"}},
    "drop_path": {"without": {"model.drop_path": 0.0}, "with": {"model.drop_path": 0.2}},
    "rate": {"without": {"optim.lr": 1e-4}, "with": {"optim.lr": 5e-4}},
}
MakeStudy = Callable[..., Study]


@pytest.fixture
def built(make_study: MakeStudy, tmp_path: Path) -> Callable[[str, int], Run]:
    """A cell of a leave-one-out study on a seed, ready to train."""
    base = {path: value for path, value in BASE.items() if path != "training.epochs"}
    spec = {"design": "leave_one_out", "factors": FACTORS}
    study = make_study(space="<absent>", base=base, budget={"epochs": 2}, ablation=spec, seeds=[0, 1])
    assert study.design is not None
    cells = {cell.name: study.design.overrides(cell) for cell in study.design.cells}
    return lambda cell, seed: build(study.config(cells[cell], seed))


def drawn(run: Run) -> list[Tensor]:
    """The masks, crops and flips of two steps."""
    draws = [run.step.draw(run.config.data.image_size or 16, step, 4) for step in (1, 2)]
    masks = [part for draw in draws for mask in draw.masks for part in (mask.context, mask.targets)]
    crops = [part for draw in draws for view in draw.views for part in (view.box, view.flip) if part is not None]
    assert len(crops) >= 2
    return [*masks, *crops]


@pytest.mark.parametrize("factor", FACTORS)
def test_cells_on_one_seed_differ_in_their_factor_alone(built: Callable[[str, int], Run], factor: str) -> None:
    full, cell = built("full", 0), built(f"without_{factor}", 0)
    for epoch in (0, 1):
        np.testing.assert_array_equal(full.dataset.order(0, epoch), cell.dataset.order(0, epoch))
    assert full.config.seed == cell.config.seed == 0
    assert all(torch.equal(a, b) for a, b in zip(drawn(full), drawn(cell), strict=True))
    ours, theirs = full.model.state_dict(), cell.model.state_dict()
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 20
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    assert (ours.keys() != theirs.keys()) == (factor == "layer_scale")


def test_another_seed_is_another_draw(built: Callable[[str, int], Run]) -> None:
    one, two = built("full", 0), built("full", 1)
    assert not np.array_equal(one.dataset.order(0, 0), one.dataset.order(1, 0))
    assert not all(torch.equal(a, b) for a, b in zip(drawn(one), drawn(two), strict=True))
    ours, theirs = one.model.state_dict(), two.model.state_dict()
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
