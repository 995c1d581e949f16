"""Rectangles in images: random ones, and where the patches of one view lie in another view of the same image."""

import torch
from torch import Tensor

from hjepa.data.parameters import ViewParameters

ATTEMPTS = 10


def random_boxes(
    batch: int, side: int, scale: tuple[float, float], ratio: tuple[float, float], stream: torch.Generator
) -> Tensor:
    """Float32 [B, 4]: top, left, height, width of whole pixels, by the rule of torchvision's RandomResizedCrop.

    Ten attempts at a random area and log-uniform aspect ratio; the first that fits, else the largest
    centred box of an allowed ratio.
    """
    uniform = torch.rand(batch, ATTEMPTS, 4, generator=stream, dtype=torch.float64)
    area = side * side * (scale[0] + (scale[1] - scale[0]) * uniform[..., 0])
    low, high = torch.tensor(ratio, dtype=torch.float64).log()
    aspect = (low + (high - low) * uniform[..., 1]).exp()
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (height >= 1) & (height <= side) & (width >= 1) & (width <= side)
    first = fits.to(torch.int8).argmax(1)[:, None]
    height, width, down, right = (
        tensor.gather(1, first)[:, 0] for tensor in (height, width, uniform[..., 2], uniform[..., 3])
    )
    top, left = (down * (side - height + 1)).floor(), (right * (side - width + 1)).floor()
    box = torch.stack([top, left, height, width], 1)
    tallest, widest = max(1, round(side / max(1.0, ratio[0]))), max(1, round(side * min(1.0, ratio[1])))
    fallback = [(side - tallest) // 2, (side - widest) // 2, tallest, widest]
    return torch.where(fits.any(1)[:, None], box, torch.tensor(fallback, dtype=torch.float64)).float()


def places(part: ViewParameters, whole: ViewParameters, cells: int, grid: int) -> Tensor:
    """Float32 [B, cells * cells, 2]: row and column of each patch centre of one view in another view's grid.

    `part` and `whole` are views of the same B images with `cells` and `grid` patches a side; patches run
    row by row. The centre of the other view's patch (i, j) is at (i, j), so a view lies in itself at its
    own patch numbers; places left of, above or beyond the other view are below -0.5 or above grid - 0.5.
    """
    along = (torch.arange(cells) + 0.5) / cells
    rows = along.expand(len(part), cells)
    columns = _mirrored(rows, part.flip)
    top, left, height, width = part.extent[:, :, None].unbind(1)
    rows, columns = top + rows * height, left + columns * width  # in stored pixels
    top, left, height, width = whole.extent[:, :, None].unbind(1)
    rows, columns = (rows - top) / height, _mirrored((columns - left) / width, whole.flip)
    centre = torch.stack([rows[:, :, None].expand(-1, -1, cells), columns[:, None, :].expand(-1, cells, -1)], -1)
    return (centre * grid - 0.5).flatten(1, 2)


def _mirrored(share: Tensor, flip: Tensor | None) -> Tensor:
    return share if flip is None else torch.where(flip[:, None], 1.0 - share, share)
