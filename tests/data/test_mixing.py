"""Images and labels are mixed in one share, drawn from the right Beta, and any even part of a batch as in the whole."""

import numpy as np
import pytest
import torch
from scipy import stats

from hjepa.config import ViewsConfig
from hjepa.data.mixing import Mixing, draw_mixing, mix_images, mix_labels


def test_off_is_none() -> None:
    assert draw_mixing(ViewsConfig(), 0, 1) is None


def test_draws_are_a_function_of_seed_and_step() -> None:
    config = ViewsConfig(mixup=0.8, cutmix=1.0)
    drawn = [draw_mixing(config, seed, step) for seed, step in ((0, 1), (0, 1), (0, 2), (1, 1))]
    assert drawn[0] == drawn[1] and len({repr(mixing) for mixing in drawn}) == 3


def test_the_shares_are_beta_distributed() -> None:
    own = [mixing.own for step in range(800) if (mixing := draw_mixing(ViewsConfig(mixup=0.4), 0, step))]
    assert stats.kstest(own, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_each_technique_takes_half_of_the_steps() -> None:
    drawn = [draw_mixing(ViewsConfig(mixup=1.0, cutmix=1.0), 3, step) for step in range(600)]
    boxes = sum(mixing is not None and mixing.box is not None for mixing in drawn)
    assert abs(boxes - 300) < 3.5 * 150**0.5


@pytest.mark.parametrize("mixing", [Mixing(0.3), Mixing(1 - 12 / 64, (1, 4, 2, 6)), Mixing(1.0, (3, 3, 0, 8))])
def test_labels_weigh_what_the_pixels_do(mixing: Mixing) -> None:
    images = torch.stack([torch.full((3, 8, 8), float(value)) for value in range(4)])
    mixed, labels = mix_images(images, mixing), mix_labels(torch.eye(4), mixing)
    partners = torch.tensor([1, 0, 3, 2])
    torch.testing.assert_close(labels.sum(1), torch.ones(4))
    torch.testing.assert_close(labels[torch.arange(4), partners], torch.full((4,), 1 - mixing.own))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), labels @ torch.arange(4.0))


def test_cutmix_boxes_lie_inside_and_weigh_their_area() -> None:
    config = ViewsConfig(size=16, cutmix=1.0)
    for step in range(200):
        mixing = draw_mixing(config, 0, step)
        assert mixing is not None and mixing.box is not None
        top, bottom, left, right = mixing.box
        assert 0 <= top <= bottom <= 16 and 0 <= left <= right <= 16
        assert mixing.own == pytest.approx(1 - (bottom - top) * (right - left) / 256)
    assert np.ptp([draw_mixing(config, 0, step).own for step in range(50)]) > 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize("mixing", [Mixing(0.6), Mixing(0.75, (0, 4, 0, 4))])
def test_even_parts_are_mixed_as_in_the_whole(mixing: Mixing) -> None:
    images, labels = torch.rand(8, 3, 8, 8), torch.eye(8)
    for width in (2, 4):
        cuts = [slice(start, start + width) for start in range(0, 8, width)]
        assert torch.equal(torch.cat([mix_images(images[rows], mixing) for rows in cuts]), mix_images(images, mixing))
        assert torch.equal(torch.cat([mix_labels(labels[rows], mixing) for rows in cuts]), mix_labels(labels, mixing))
