"""Where cells lie, and absolute embeddings of where they lie.

A place is (row, column) in units of the patch that the model was built for; whole numbers are the
centres of its patches.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def centres(
    grid: int,
    level: int = 0,
    pooling: str = "adaptive",
    *,
    unit: float = 1.0,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Places [cells * cells, 2] of the cell centres of one level of a grid, in raster order.

    grid: patches per side at level 0; unit: length of a patch of this grid. The cells are those of
    `hjepa.config.hierarchy.cell_windows`.
    """
    cells, side = grid >> level, 1 << level
    index = torch.arange(cells, device=device, dtype=dtype)
    if pooling == "floor":
        first, last = index * side, index * side + side - 1
    else:
        first, last = (index * grid / cells).floor(), ((index + 1) * grid / cells).ceil() - 1
    centre = ((first + last) / 2 + 0.5) * unit - 0.5
    rows, columns = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack([rows.flatten(), columns.flatten()], 1)


def sincos(places: Tensor, dim: int) -> Tensor:
    """Embeddings [..., dim], float32, of places [..., 2]; computed in the precision of `places`.

    The first half codes the column (x), the second the row (y); each is [sin, cos] of the
    coordinate at frequencies 10000^(-i / (dim / 4)).
    Source: I-JEPA code, `get_2d_sincos_pos_embed`.
    """
    assert dim % 4 == 0
    frequency = 10000.0 ** -(torch.arange(dim // 4, device=places.device, dtype=places.dtype) / (dim / 4))
    rows, columns = places.unbind(-1)
    halves = []
    for coordinate in (columns, rows):
        angle = coordinate.unsqueeze(-1) * frequency
        halves += [angle.sin(), angle.cos()]
    return torch.cat(halves, -1).float()


def grid_positions(grid: int, dim: int, level: int = 0, pooling: str = "adaptive") -> Tensor:
    """Embeddings [cells * cells, dim] of the cell centres of a level."""
    return sincos(centres(grid, level, pooling), dim)


def interpolated(table: Tensor, grid: int) -> Tensor:
    """A learned table [g * g, D] at another grid's patches, [grid * grid, D], by antialiased bicubic interpolation.

    Source: DeiT III and RoPE-ViT evaluate so at another resolution; antialiased as in FlexiViT (arXiv
    2212.08013), which also goes to coarser grids.
    """
    side = round(len(table) ** 0.5)
    image = table.T.reshape(1, -1, side, side).float()
    resized = F.interpolate(image, size=(grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return resized.flatten(2)[0].T
