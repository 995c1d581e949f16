"""Claims: cells of targets, masks and positions are the same windows for both poolings; a level taken from a
depth is that block's own normalised output; layers average normalised blocks; defaults are the plain target."""

import pytest
import torch
from torch.nn import functional as F

from hjepa.config.hierarchy import cell_windows
from hjepa.models.level_targets import LevelTargets, level_block, pool_level
from hjepa.models.positions import centres


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def plain(tokens: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:])


@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
@pytest.mark.parametrize(("grid", "level"), [(14, 1), (14, 2), (14, 3), (9, 1), (9, 2), (15, 2), (8, 2)])
def test_a_cell_is_the_mean_of_its_window(grid: int, level: int, pooling: str) -> None:
    tokens = random(2, grid * grid, 3)
    image = tokens.view(2, grid, grid, 3)
    windows = cell_windows(grid, level, pooling)
    assert len(windows) == grid >> level
    by_hand = [image[:, a:b, c:d].mean((1, 2)) for a, b in windows for c, d in windows]
    assert torch.allclose(pool_level(tokens, level, pooling), torch.stack(by_hand, 1), atol=1e-6)


@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
def test_positions_are_the_centres_of_the_same_windows(pooling: str) -> None:
    middle = [(first + end - 1) / 2 for first, end in cell_windows(14, 2, pooling)]
    expected = torch.tensor([[row, column] for row in middle for column in middle], dtype=torch.float64)
    assert torch.allclose(centres(14, 2, pooling), expected)


def test_floor_leaves_out_the_rest_and_adaptive_does_not() -> None:
    tokens = torch.zeros(1, 14 * 14, 1)
    tokens[0, -1] = 1.0
    assert pool_level(tokens, 2, "floor").sum() == 0
    assert pool_level(tokens, 2, "adaptive").sum() > 0
    assert cell_windows(14, 2, "floor") == [(0, 4), (4, 8), (8, 12)]
    assert cell_windows(8, 2, "floor") == cell_windows(8, 2, "adaptive")


def test_one_level_reads_the_last_block_alone() -> None:
    targets, last = LevelTargets(levels=1, depth=4), random(2, 64, 8)
    assert targets.blocks == [4]
    (only,) = targets.maps({4: last})
    assert torch.equal(only, plain(last))
    (raw,) = LevelTargets(levels=1, depth=4, normalises=False).maps({4: last})
    assert torch.equal(raw, last)


def test_levels_come_from_evenly_spaced_depths_coarsest_last() -> None:
    assert [level_block(level, 3, 12) for level in range(3)] == [4, 8, 12]
    assert [level_block(level, 3, 2) for level in range(3)] == [1, 2, 2]
    assert [level_block(level, 2, 3) for level in range(2)] == [2, 3]


def test_source_depth_takes_each_level_from_its_own_block() -> None:
    outputs = {block: random(2, 64, 8).roll(block, 1) * block for block in (1, 2, 3)}
    deep = LevelTargets(levels=3, depth=3, source="depth")
    assert deep.blocks == [1, 2, 3]
    maps = deep.maps(outputs)
    assert torch.allclose(maps[0], plain(outputs[1]), atol=1e-3)
    assert torch.allclose(maps[1], plain(pool_level(plain(outputs[2]), 1, "adaptive")), atol=1e-3)
    pooled = LevelTargets(levels=3, depth=3).maps(outputs)
    assert torch.equal(maps[2], pooled[2]) and not torch.allclose(maps[1], pooled[1], atol=0.1)


def test_source_both_is_the_mean_of_two_normalised() -> None:
    outputs = {block: random(2, 64, 8).roll(block, 1) * block for block in (1, 2)}
    both = LevelTargets(levels=2, depth=2, source="both", normalises=False).maps(outputs)
    expected = (plain(outputs[1]) + plain(outputs[2])) / 2
    assert torch.allclose(both[0], expected, atol=1e-3)
    assert torch.allclose(both[1], pool_level(plain(outputs[2]), 1, "adaptive"), atol=1e-3)


def test_layers_average_the_last_normalised_blocks() -> None:
    outputs = {block: random(2, 16, 8).roll(block, 1) * block for block in (1, 2, 3, 4)}
    targets = LevelTargets(levels=1, depth=4, layers=3, normalises=False)
    assert targets.blocks == [2, 3, 4]
    expected = sum(plain(outputs[block]) for block in (2, 3, 4)) / 3
    assert torch.allclose(targets.maps(outputs)[0], expected, atol=1e-6)
    shallow = LevelTargets(levels=2, depth=4, source="depth", layers=3)
    assert shallow.blocks == [1, 2, 3, 4], "two blocks up to the second, three up to the fourth"


def test_pooled_targets_are_normalised_again_unless_told() -> None:
    last = random(4, 64, 8)
    for renormalises in (True, False):
        _, coarse = LevelTargets(levels=2, depth=1, renormalises=renormalises).maps({1: last})
        spread = coarse.var(-1, unbiased=False)
        assert torch.allclose(spread, torch.ones(()), atol=1e-2) == renormalises


def test_a_pixel_outside_a_cell_leaves_it_alone() -> None:
    """An identity encoder: only the cell that covers a patch follows it."""
    tokens = random(1, 64, 8)
    moved = tokens.clone()
    moved[0, 2 * 8 + 5] += torch.arange(8.0)
    first, second = (LevelTargets(levels=3, depth=1).maps({1: part}) for part in (tokens, moved))
    changed = [(a != b).any(-1).nonzero()[:, 1].tolist() for a, b in zip(first, second, strict=True)]
    assert changed == [[2 * 8 + 5], [1 * 4 + 2], [0 * 2 + 1]]
