"""One pair of small matrices is crop, antialiased resize, padding, shift and flip, as torchvision does them."""

import pytest
import torch
from torchvision.transforms import functional

from hjepa.data.resample import full_matrix, mirrored, resample, resize_matrix, shifted

BOXES = ((0, 0, 24, 24), (3, 5, 9, 14), (10, 0, 14, 7), (23, 23, 1, 1), (2, 1, 20, 5))


@pytest.mark.parametrize("size", [8, 24, 40])
def test_crop_and_resize_equal_torchvision_on_single_images(size: int) -> None:
    images = torch.rand(len(BOXES), 3, 24, 24, generator=torch.Generator().manual_seed(0))
    top, left, height, width = torch.tensor(BOXES, dtype=torch.float32).unbind(1)
    ours = resample(images, resize_matrix(top, height, 24, size), resize_matrix(left, width, 24, size))
    for image, box, mine in zip(images, BOXES, ours, strict=True):
        expected = functional.resized_crop(image, *box, [size, size], antialias=True)
        torch.testing.assert_close(mine, expected, atol=2e-6, rtol=0)


def test_the_whole_side_at_its_own_size_is_the_identity() -> None:
    assert torch.equal(full_matrix(16, 16, torch.device("cpu"))[0], torch.eye(16))


def test_shift_equals_reflect_padding_and_a_crop() -> None:
    images = torch.rand(81, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    offset = torch.cartesian_prod(torch.arange(9), torch.arange(9))
    whole = full_matrix(12, 12, images.device)
    ours = resample(images, *(shifted(whole, column, 4) for column in offset.unbind(1)))
    for image, (down, right), mine in zip(images, offset.tolist(), ours, strict=True):
        padded = functional.pad(image, [4], padding_mode="reflect")
        assert torch.equal(mine, padded[:, down : down + 12, right : right + 12])


def test_mirrored_columns_flip_the_image() -> None:
    images = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    whole = full_matrix(10, 10, images.device)
    ours = resample(images, whole, mirrored(whole, torch.tensor([True, False])))
    assert torch.equal(ours, torch.stack([images[0].flip(2), images[1]]))
