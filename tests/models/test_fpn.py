"""Claims: the pyramid is built from visible tokens alone, with a validity map that says where they are at every
level; add with zero laterals is pure upsampling; concat has one D x D matrix more per merge; coarse levels
reach fine ones; what is not valid adds nothing and does not dilute what is."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from hjepa.config.hierarchy import cell_windows
from hjepa.models.fpn import FeaturePyramid, LevelMap, Smoothing, spread, visible_maps
from hjepa.runtime.streams import initialise

WIDTH = 6


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def make(kind: Any, pooling: Any = "adaptive", levels: int = 3) -> FeaturePyramid:
    pyramid = FeaturePyramid(WIDTH, levels, kind, pooling)
    initialise(pyramid, 0, "pyramid", "xavier")
    return pyramid


def full(grid: int = 8) -> list[LevelMap]:
    """Independent features at every level, everything visible."""
    sides = [grid, grid // 2, grid // 4]
    return [LevelMap(random(2, WIDTH, n, n).requires_grad_(), torch.ones(2, 1, n, n)) for n in sides]


@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
def test_a_cell_is_the_mean_of_its_visible_tokens(pooling: Any) -> None:
    visible = torch.stack([torch.randperm(196, generator=torch.Generator().manual_seed(n))[:15] for n in range(2)])
    tokens = random(2, 15, WIDTH)
    for level, found in enumerate(visible_maps(tokens, visible, 14, 3, pooling)):
        windows = cell_windows(14, level, pooling)
        for image in range(2):
            for row, (top, bottom) in enumerate(windows):
                for column, (left, right) in enumerate(windows):
                    at = [top <= p // 14 < bottom and left <= p % 14 < right for p in visible[image].tolist()]
                    inside = tokens[image][torch.tensor(at)]
                    assert found.valid[image, 0, row, column] == float(len(inside) > 0)
                    expected = inside.mean(0) if len(inside) else torch.zeros(WIDTH)
                    assert torch.allclose(found.features[image, :, row, column], expected, atol=1e-5)


def test_validity_is_neither_full_nor_empty_and_upsamples_by_nearest() -> None:
    visible = torch.tensor([[0, 1, 9, 63]])
    fine, middle, coarse = visible_maps(random(1, 4, WIDTH), visible, 8, 3, "adaptive")
    assert [int(level.valid.sum()) for level in (fine, middle, coarse)] == [4, 2, 2]
    up = spread(coarse.valid, 8, 2, "adaptive")
    assert torch.equal(up[0, 0, :4, :4], torch.ones(4, 4)) and not up[0, 0, :4, 4:].any()
    assert (up >= fine.valid).all(), "a visible patch lies in a valid cell of every level"


def test_with_floor_pooling_the_rest_has_no_parent() -> None:
    up = spread(torch.ones(1, 1, 3, 3), 14, 2, "floor")
    assert torch.equal(up[0, 0], F.pad(torch.ones(12, 12), (0, 2, 0, 2)))
    assert spread(torch.ones(1, 1, 3, 3), 14, 2, "adaptive").all()


def test_add_with_zero_laterals_is_pure_upsampling() -> None:
    pyramid, levels = make("add"), full()
    with torch.no_grad():
        for part in pyramid.lateral[:-1]:
            part.weight.zero_()
        pyramid.lateral[-1].weight.copy_(torch.eye(WIDTH))
    merged = pyramid.merge(levels)
    assert torch.allclose(merged[0].features, F.interpolate(levels[2].features, scale_factor=4), atol=1e-6)
    assert torch.allclose(merged[1].features, F.interpolate(levels[2].features, scale_factor=2), atol=1e-6)


def test_concat_has_a_square_matrix_more_for_each_merge() -> None:
    sizes = {kind: sum(weight.numel() for weight in make(kind).parameters()) for kind in ("add", "concat")}
    assert sizes["concat"] - sizes["add"] == 2 * WIDTH * WIDTH
    assert sizes["add"] == 3 * (WIDTH * WIDTH + WIDTH) + 3 * (9 * WIDTH + WIDTH)


@pytest.mark.parametrize("kind", ["add", "concat"])
def test_coarse_levels_reach_fine_ones_and_not_back(kind: str) -> None:
    levels = full()
    merged = make(kind).merge(levels)
    for fine in range(3):
        inputs = [level.features for level in levels]
        grads = torch.autograd.grad(merged[fine].features.sum(), inputs, retain_graph=True, allow_unused=True)
        assert [grad is not None and bool(grad.any()) for grad in grads] == [level >= fine for level in range(3)]


@pytest.mark.parametrize("kind", ["add", "concat"])
@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
def test_what_is_not_valid_adds_nothing(kind: str, pooling: Any) -> None:
    """Rubbish in invalid cells changes no valid output, and invalid outputs are zero."""
    visible = torch.stack([torch.randperm(196, generator=torch.Generator().manual_seed(n))[:15] for n in range(2)])
    pyramid = make(kind, pooling)
    for part in pyramid.smoothing:
        torch.nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(1))
    clean = visible_maps(random(2, 15, WIDTH), visible, 14, 3, pooling)
    dirty = [LevelMap(level.features + 1e3 * (1 - level.valid), level.valid) for level in clean]
    for ours, theirs in zip(pyramid(clean), pyramid(dirty), strict=True):
        assert torch.allclose(ours.features, theirs.features, atol=1e-4) and ours.features.any()
        assert not (ours.features * (1 - ours.valid)).any()


def test_a_lone_part_of_a_merge_is_doubled() -> None:
    """Floor pooling: the last row of a grid of 9 has no coarser cell."""
    pyramid = make("add", "floor", levels=2)
    with torch.no_grad():
        for part in pyramid.lateral:
            part.weight.copy_(torch.eye(WIDTH))
    fine, coarse = torch.ones(1, WIDTH, 9, 9), torch.ones(1, WIDTH, 4, 4)
    merged = pyramid.merge([LevelMap(fine, torch.ones(1, 1, 9, 9)), LevelMap(coarse, torch.ones(1, 1, 4, 4))])
    assert torch.allclose(merged[0].features, torch.full((1, WIDTH, 9, 9), 2.0))


def test_smoothing_is_normalised_by_what_it_saw() -> None:
    part = Smoothing(WIDTH)
    assert not part(LevelMap(random(1, WIDTH, 4, 4), torch.ones(1, 1, 4, 4))).features.any()
    torch.nn.init.constant_(part.weight, 1.0 / 9.0)
    valid = torch.zeros(1, 1, 4, 4)
    valid[..., 1, 1:3] = 1.0
    out = part(LevelMap(torch.full((1, WIDTH, 4, 4), 5.0), valid)).features
    assert torch.allclose(out, 5.0 * valid.expand_as(out), atol=1e-5)
