"""Patches of an image and their embedding, at the patch size of the model or at another."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def patchify(images: Tensor, size: int) -> Tensor:
    """[B, C, s, s] -> [B, N, C p p], in the order of a convolution's weights."""
    batch, channels, side, _ = images.shape
    grid = side // size
    assert side == size * grid, f"images of {side} px; allowed multiples of the patch size {size}"
    cells = images.view(batch, channels, grid, size, grid, size)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, channels * size * size)


def resize_matrix(old: int, new: int) -> Tensor:
    """Bilinear resize of `old` pixels to `new`, without antialiasing: [new, old], float64."""
    # A second axis of one pixel each; float64, as a pseudo-inverse follows.
    pixels = torch.eye(old, dtype=torch.float64)[:, None, :, None]
    return F.interpolate(pixels, size=(new, 1), mode="bilinear", align_corners=False)[:, 0, :, 0].T


class PatchEmbed(nn.Linear):
    """The stride-p convolution, written as a linear map of unfolded patches.

    Only visible patches are then embedded. Patches of one of the `others` sizes p' meet the kernel
    w' = pinv(B') w, where B resizes p x p to p' x p' pixels: it gives an enlarged patch the embedding of the
    original. It is made anew from the one kernel at every call, so gradients reach that kernel.
    Source: FlexiViT (arXiv 2212.08013), section 3.4; code `resample_patchemb`.
    """

    def __init__(self, size: int, width: int, others: Sequence[int] = ()) -> None:
        super().__init__(3 * size**2, width)
        self.size = size
        for other in set(others) - {size}:
            # Rows and columns are resized alike and separately, hence so is the pseudo-inverse.
            matrix = torch.linalg.pinv(resize_matrix(size, other).T).float()
            self.register_buffer(f"to_{other}", matrix, persistent=False)

    def kernel(self, size: int) -> Tensor:
        """The weights [D, 3 p' p'] for patches of this size, float32."""
        if size == self.size:
            return self.weight
        matrix: Tensor = getattr(self, f"to_{size}")
        with torch.autocast(self.weight.device.type, enabled=False):
            resized: Tensor = matrix @ self.weight.view(-1, 3, self.size, self.size) @ matrix.T
        return resized.flatten(1)

    def forward(self, patches: Tensor, size: int | None = None) -> Tensor:
        """[..., 3 p p] -> [..., D] of patches of this size (default: the model's)."""
        return F.linear(patches, self.kernel(size or self.size), self.bias)
