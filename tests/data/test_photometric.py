"""Each operation equals torchvision's on single images, and each image gets its own."""

import itertools

import pytest
import torch
from torchvision.transforms import functional

from hjepa.data.photometric import BLUR, GREY, SOLARISE, blur, color_jitter, luma, three_augment


def images(count: int, size: int = 32) -> torch.Tensor:
    """Random images, float32 in 0..1, of 256 levels."""
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(0)) / 255.0


def test_three_augment_does_one_thing_to_each_image() -> None:
    batch, sigma = images(4), torch.tensor([1.0, 1.0, 0.7, 1.9])
    out = three_augment(batch, torch.tensor([GREY, SOLARISE, BLUR, BLUR]), sigma)
    torch.testing.assert_close(out[0], functional.rgb_to_grayscale(batch[0], 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out[1], functional.solarize(batch[1], 128 / 255))
    for index in (2, 3):
        expected = functional.gaussian_blur(batch[index], [13, 13], [float(sigma[index])] * 2)
        torch.testing.assert_close(out[index], expected, atol=1e-5, rtol=0)


def test_solarise_turns_at_128() -> None:
    level = torch.tensor([127, 128]) / 255.0
    out = three_augment(level.reshape(2, 1, 1, 1).expand(-1, 3, 8, 8), torch.full((2,), SOLARISE), torch.ones(2))
    torch.testing.assert_close(out[:, 0, 0, 0] * 255, torch.tensor([127.0, 127.0]))


@pytest.mark.parametrize("size", [8, 9])
def test_blur_keeps_flat_images_flat_on_small_sides(size: int) -> None:
    flat = torch.full((2, 3, size, size), 0.4)
    torch.testing.assert_close(blur(flat, torch.tensor([0.1, 2.0])), flat)


def test_color_jitter_follows_each_image_s_factors_and_order() -> None:
    operations = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)
    order = torch.tensor(list(itertools.permutations(range(3))))
    batch = images(len(order))
    factor = 0.7 + 0.6 * torch.rand(len(order), 3, generator=torch.Generator().manual_seed(1))
    out = color_jitter(batch, factor, order)
    for index, sequence in enumerate(order.tolist()):
        expected = batch[index]
        for kind in sequence:
            expected = operations[kind](expected, float(factor[index, kind]))
        torch.testing.assert_close(out[index], expected, atol=5e-4, rtol=0)


def test_luma_of_white_is_white() -> None:
    torch.testing.assert_close(luma(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2))
