"""Claims: sine-cosine positions equal I-JEPA's; a cell sits at the centre of what it covers; a grid of other
patches spans the same image; a learned table is interpolated, not stretched in memory."""

import pytest
import torch

from hjepa.config.hierarchy import cell_windows
from hjepa.models.positions import centres, grid_positions, interpolated, sincos


def test_official_values() -> None:
    a, b = [0.841471, 0.01, 0.540302, 0.99995], [0.0, 0.0, 1.0, 1.0]
    expected = torch.tensor([b + b, a + b, b + a, a + a])
    assert torch.allclose(grid_positions(2, 8), expected, atol=1e-6)


def test_official_sum_and_rows() -> None:
    table = grid_positions(8, 192)
    assert abs(float(table.double().sum()) - 5979.796474) < 1e-3
    assert torch.allclose(table[5, :4], torch.tensor([-0.958924, -0.833509, -0.261782, 0.323935]), atol=1e-6)
    assert torch.equal(table[5, 96:100], torch.zeros(4))


def test_cells_of_a_level_are_centred() -> None:
    assert centres(4, 1).tolist() == [[0.5, 0.5], [0.5, 2.5], [2.5, 0.5], [2.5, 2.5]]
    assert centres(7, 1)[:, 1].tolist() == [1.0, 3.0, 5.0] * 3  # adaptive pooling's cells overlap: 0-2, 2-4, 4-6
    assert torch.equal(grid_positions(4, 16, 1), sincos(centres(4, 1), 16))


@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
@pytest.mark.parametrize("grid", [4, 7, 9, 14])
def test_cells_are_those_of_masks_and_targets(grid: int, pooling: str) -> None:
    for level in range(grid.bit_length()):
        middles = [(first + end - 1) / 2 for first, end in cell_windows(grid, level, pooling)]
        assert centres(grid, level, pooling)[: len(middles), 1].tolist() == middles


def test_patches_of_another_size_span_the_same_image() -> None:
    coarse, fine = centres(4, unit=2.0), centres(16, unit=0.5)
    assert torch.equal(coarse, centres(8, 1))  # a patch twice as large covers what a level-1 cell covers
    assert fine[0].tolist() == [-0.25, -0.25] and fine[-1].tolist() == [7.25, 7.25]


def test_places_may_be_any_tensor_of_points_in_single_precision() -> None:
    points = torch.tensor([[[0.25, 3.5], [2.0, 1.0]]])
    assert sincos(points, 8).shape == (1, 2, 8)
    assert torch.allclose(sincos(points, 8)[0, 1], sincos(centres(4), 8)[2 * 4 + 1], atol=1e-6)


def test_a_learned_table_is_interpolated() -> None:
    ramp = centres(4).float()  # a table that holds its own row and column
    inner = (interpolated(ramp, 8) - centres(8, unit=0.5).float()).view(8, 8, 2)[2:6, 2:6]
    assert inner.abs().max() < 0.05
    assert torch.allclose(interpolated(ramp, 4), ramp, atol=1e-6)
    assert torch.allclose(interpolated(ramp, 2).mean(0), ramp.mean(0), atol=1e-5)
