"""Each of the fourteen operations is torchvision's at the same strength; each image has its own, drawn evenly."""

from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from hjepa.config import ViewsConfig
from hjepa.data import Views
from hjepa.data.randaugment import OPERATIONS, draw_operations, randaugment

CODES = [2 * number + reverse for number, (_, directed) in enumerate(OPERATIONS) for reverse in range(1 + directed)]


def images(count: int, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_the_operations_are_torchvision_s() -> None:
    image = images(1)
    ours = randaugment(image.expand(len(CODES), -1, -1, -1), torch.tensor(CODES)[:, None], 9)
    torch.manual_seed(0)
    theirs = v2.RandAugment(num_ops=1, magnitude=9)
    seen = set()
    for _ in range(250):
        near = (theirs(image) - ours).abs().flatten(1).amax(1) < 1e-5
        assert near.any()
        seen |= set(near.nonzero().flatten().tolist())
    assert seen == set(range(len(CODES)))


def test_operations_come_evenly_in_both_directions() -> None:
    drawn = draw_operations(7000, 2, torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == set(CODES)
    for column in drawn.unbind(1):
        number = torch.bincount(column // 2, minlength=14)
        assert (number - 500).abs().max() < 4 * (7000 / 14 * 13 / 14) ** 0.5
    directed = torch.tensor([directed for _, directed in OPERATIONS])[drawn // 2]
    assert abs((drawn[directed] % 2).float().mean() - 0.5) < 0.03


def test_magnitude_and_number_of_operations_matter() -> None:
    operations = torch.tensor(CODES)[:, None].repeat(1, 2)
    batch = images(len(CODES))
    weak, strong = randaugment(batch, operations, 3), randaugment(batch, operations, 25)
    moved = (weak != strong).flatten(1).any(1)
    assert moved.sum() == len(CODES) - 3  # identity, autocontrast and equalise have no strength
    assert not torch.equal(randaugment(batch, operations[:, :1], 9), randaugment(batch, operations, 9))


@pytest.mark.parametrize("width", [1, 5])
def test_slices_give_the_pixels_of_the_whole(width: int) -> None:
    config: dict[str, Any] = {"size": 24, "augmentation": "randaugment", "randaugment_magnitude": 14}
    views = Views(ViewsConfig.model_validate(config))
    stored = (images(40, 32) * 255).to(torch.uint8)
    params = views.draw(40, 32, seed=2, step=1)
    assert params.operations is not None and params.operations.shape == (40, 2)
    whole = views.apply(stored, params)
    cuts = [slice(start, start + width) for start in range(0, 40, width)]
    assert torch.equal(torch.cat([views.apply(stored[rows], params[rows]) for rows in cuts]), whole)


def test_off_draws_nothing_and_on_leaves_the_crop_as_it_was() -> None:
    off = Views(ViewsConfig(size=24)).draw(6, 32, seed=0, step=0)
    on = Views(ViewsConfig(size=24, augmentation="randaugment")).draw(6, 32, seed=0, step=0)
    assert off.operations is None and on.choice is None
    assert torch.equal(off.extent, on.extent)


def test_pixels_that_move_are_refused_where_places_matter() -> None:
    with pytest.raises(ValueError, match=r"augmentation: got randaugment, which moves pixels"):
        ViewsConfig(augmentation="randaugment", locals=2, local_mode="context")
