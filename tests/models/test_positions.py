"""Claims: sine-cosine positions equal I-JEPA's; a level's cell sits at the centre of what it covers."""

import torch

from hjepa.models.positions import grid_positions, sincos


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
    centres = torch.tensor([0.5, 2.5])
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    assert torch.equal(grid_positions(4, 16, 2), sincos(rows.flatten(), columns.flatten(), 16))
