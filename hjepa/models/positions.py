"""Two-dimensional sine-cosine position embeddings."""

import torch
from torch import Tensor


def sincos(rows: Tensor, columns: Tensor, dim: int) -> Tensor:
    """Embeddings [N, dim], float32, of points given by row and column coordinates [N] in patch units.

    The first half codes the column (x), the second the row (y); each is [sin, cos] of the
    coordinate at frequencies 10000^(-i / (dim / 4)).
    Source: I-JEPA code, `get_2d_sincos_pos_embed`.
    """
    assert dim % 4 == 0
    frequency = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim / 4))
    halves = []
    for coordinate in (columns, rows):
        angle = coordinate.to(torch.float64)[:, None] * frequency
        halves += [angle.sin(), angle.cos()]
    return torch.cat(halves, 1).float()


def grid_positions(grid: int, dim: int, cells: int | None = None) -> Tensor:
    """Embeddings [cells * cells, dim] of the cell centres of a level, in level-0 units.

    grid: patches per side at level 0; cells: cells per side of the level (default: the grid itself).
    A cell covers the patches that adaptive average pooling gives it.
    """
    cells = cells or grid
    index = torch.arange(cells, dtype=torch.float64)
    first = (index * grid / cells).floor()
    last = ((index + 1) * grid / cells).ceil() - 1
    centre = (first + last) / 2
    rows, columns = torch.meshgrid(centre, centre, indexing="ij")
    return sincos(rows.flatten(), columns.flatten(), dim)
