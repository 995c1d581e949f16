"""What is on changes the pixels by its own draws alone; what is off draws and computes nothing.

Slices of a draw give the pixels of the whole.
"""

from dataclasses import fields
from typing import Any

import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from hjepa.config import ViewsConfig
from hjepa.data import ViewParameters, Views
from hjepa.data.views import IMAGENET_MEAN, IMAGENET_STD

OFF: dict[str, Any] = {"crop": "none", "flip": 0.0, "augmentation": "none"}
EVERYTHING = [
    {"augmentation": "three_augment"},
    {"crop": "simple", "augmentation": "three_augment", "flip": 1.0},
    {"crop": "none"},
]


def views(**options: Any) -> Views:
    """Views of 24 px unless told otherwise."""
    return Views(ViewsConfig.model_validate({"size": 24, **options}))


def images(count: int = 12, size: int = 32) -> torch.Tensor:
    """Random stored images."""
    stream = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=stream)


def drawn(params: ViewParameters) -> dict[str, torch.Tensor]:
    """What was drawn."""
    values = {field.name: getattr(params, field.name) for field in fields(params)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("stored", [24, 32, 8])
def test_everything_off_is_bit_identical_to_plain(stored: int) -> None:
    view = views(**OFF)
    params = view.draw(12, stored, seed=0, step=0)
    assert not drawn(params)
    assert torch.equal(view.apply(images(size=stored), params), view.plain(images(size=stored)))


def test_plain_is_the_image_normalised() -> None:
    view = views(size=32)
    mean, std = (torch.tensor(stat)[:, None, None] for stat in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(view.plain(images()), (images() / 255.0 - mean) / std)


@pytest.mark.parametrize("options", EVERYTHING)
def test_slices_of_one_draw_give_the_pixels_of_the_whole(options: dict[str, Any]) -> None:
    view, batch = views(**options), images()
    params = view.draw(12, 32, seed=3, step=5)
    whole = view.apply(batch, params)
    for width in (1, 4, 5):
        starts = range(0, 12, width)
        parts = [view.apply(batch[start : start + width], params[start : start + width]) for start in starts]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("options", EVERYTHING)
def test_bf16_autocast_changes_nothing(options: dict[str, Any]) -> None:
    view, batch = views(**options), images()
    params = view.draw(12, 32, seed=0, step=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, plain = view.apply(batch, params), view.plain(batch)
    assert got.dtype == plain.dtype == torch.float32
    assert torch.equal(got, view.apply(batch, params)) and torch.equal(plain, view.plain(batch))


def test_a_technique_draws_from_its_own_stream() -> None:
    everything = drawn(views(augmentation="three_augment").draw(16, 32, seed=1, step=2))
    assert set(everything) == {"box", "flip", "choice", "sigma", "factor", "order"}
    for options in ({"crop": "simple"}, {"flip": 0.0}, {"augmentation": "none"}, {"color_jitter": 0.0}):
        fewer = drawn(views(**{"augmentation": "three_augment", **options}).draw(16, 32, seed=1, step=2))
        assert set(fewer) != set(everything)
        assert all(torch.equal(tensor, everything[name]) for name, tensor in fewer.items() if name in everything)


def test_draws_are_a_function_of_seed_and_step() -> None:
    view = views(augmentation="three_augment")
    first, again, step, seed = (drawn(view.draw(16, 32, *index)) for index in ((0, 0), (0, 0), (0, 1), (1, 0)))
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        assert not torch.equal(tensor, step[name]) and not torch.equal(tensor, seed[name])


def test_each_of_the_three_operations_comes_a_third_of_the_time() -> None:
    choice = views(augmentation="three_augment").draw(3000, 32, seed=0, step=0).choice
    assert choice is not None
    counts = torch.bincount(choice)
    assert len(counts) == 3 and (counts - 1000).abs().max() < 4 * (3000 * 2 / 9) ** 0.5


def test_jitter_stays_in_its_range_in_every_order() -> None:
    params = views(augmentation="three_augment", color_jitter=0.3).draw(3000, 32, seed=0, step=0)
    assert params.factor is not None and params.order is not None and params.sigma is not None
    assert params.factor.min() >= 0.7 and params.factor.max() <= 1.3 and params.factor.std() > 0.16
    assert len(params.order.unique(dim=0)) == 6
    assert params.sigma.min() >= 0.1 and params.sigma.max() <= 2.0


def test_simple_random_crop_moves_at_most_four_pixels_each_way() -> None:
    offset = views(crop="simple").draw(3000, 32, seed=0, step=0).offset
    assert offset is not None
    assert (offset - 4).abs().max() == 4 and len(offset.unique(dim=0)) == 81
    view, batch = views(size=32, crop="simple", flip=0.0), images()
    params = view.draw(12, 32, seed=0, step=0)
    assert params.offset is not None
    for image, plain, (down, right) in zip(
        view.apply(batch, params), view.plain(batch), (params.offset - 4).tolist(), strict=True
    ):
        kept = image[:, max(0, -down) : 32 - max(0, down), max(0, -right) : 32 - max(0, right)]
        source = plain[:, max(0, down) : 32 - max(0, -down), max(0, right) : 32 - max(0, -right)]
        torch.testing.assert_close(kept, source)


@pytest.mark.parametrize(("scale", "ratio"), [((0.3, 1.0), (0.75, 4 / 3)), ((1.0, 1.0), (3.0, 4.0))])
def test_boxes_are_distributed_as_torchvision_s(scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    box = views(crop_scale=scale, crop_ratio=ratio).draw(1500, 32, seed=0, step=0).box
    assert box is not None
    assert (box == box.round()).all() and (box[:, :2] >= 0).all() and (box[:, :2] + box[:, 2:] <= 32).all()
    torch.manual_seed(0)
    theirs = [RandomResizedCrop.get_params(torch.empty(3, 32, 32), list(scale), list(ratio)) for _ in range(1500)]
    expected = torch.tensor(theirs, dtype=torch.float32)
    error = 5 * (box.std(0) + expected.std(0)) / 1500**0.5
    assert ((box.mean(0) - expected.mean(0)).abs() <= error + 1e-6).all()
    assert ((box.std(0) - expected.std(0)).abs() <= error + 1e-6).all()


def test_on_changes_the_pixels() -> None:
    plain = views(**OFF).plain(images())
    for options in ({"crop": "random_resized"}, {"crop": "simple"}, {"flip": 0.5}, {"augmentation": "three_augment"}):
        view = views(**{**OFF, **options})
        assert not torch.equal(view.apply(images(), view.draw(12, 32, seed=0, step=0)), plain)


@pytest.mark.gpu
def test_the_device_changes_nothing_that_matters() -> None:
    jump = 0.02  # of a value that rounds to the other side of the solarisation threshold, in units of std
    for options in EVERYTHING:
        view, batch = views(**options), images()
        params = view.draw(12, 32, seed=0, step=0)
        torch.testing.assert_close(view.apply(batch.cuda(), params).cpu(), view.apply(batch, params), atol=jump, rtol=0)
