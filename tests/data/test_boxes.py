"""A patch of one view is found in another view of the same image exactly where its pixels came from."""

from typing import Any

import pytest
import torch

from hjepa.config import ViewsConfig
from hjepa.data import Views, places

STORED, SIZE, GRID = 64, 32, 8
CROPS: list[dict[str, Any]] = [
    {"crop": "random_resized"},
    {"crop": "none"},
    {"crop": "simple"},
    {"crop": "random_resized", "flip": 0.0},
    {"crop": "none", "flip": 1.0},
]


def views(**options: Any) -> Views:
    return Views(ViewsConfig.model_validate({"size": SIZE, "locals": 2, "local_size": 16, **options}))


@pytest.mark.parametrize("options", CROPS)
def test_a_view_lies_in_itself_at_its_own_patch_numbers(options: dict[str, Any]) -> None:
    params = views(**options).draw(6, STORED, seed=0, step=0)
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    expected = torch.stack([rows, columns], -1).flatten(0, 1).float().expand(6, -1, -1)
    torch.testing.assert_close(places(params, params, GRID, GRID), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", CROPS)
def test_places_name_the_pixels_of_the_stored_image(options: dict[str, Any]) -> None:
    """Stored pixels that hold their own row and column: the mean of a patch says where it came from."""
    whole = views(**options)
    small = Views(whole.config.small)
    count, cells = 16, 4
    view, part = whole.draw(count, STORED, seed=1, step=3), small.draw(count, STORED, 1, 3, 2)
    assert (part.size, small.config.size) == (16, 16)
    ramp = torch.arange(STORED, dtype=torch.uint8) * 4
    image = torch.stack([ramp[:, None].expand(-1, STORED), ramp.expand(STORED, -1), torch.zeros(STORED, STORED)])
    images = image.to(torch.uint8).expand(count, -1, -1, -1)

    def stored_centres(source: Views, params: Any, patches: int) -> torch.Tensor:
        """Row and column in stored pixels at the centre of each patch, [count, patches, patches, 2]."""
        black, white = source.plain(torch.stack([image * 0, image * 0 + 255]).to(torch.uint8))[:, :2, 0, 0]
        pixels = (source.apply(images, params)[:, :2] - black[:, None, None]) / (white - black)[:, None, None]
        means = torch.nn.functional.adaptive_avg_pool2d(pixels * 255 / 4 + 0.5, patches)
        return means.permute(0, 2, 3, 1)

    found = stored_centres(small, part, cells).flatten(1, 2)
    inside = stored_centres(whole, view, GRID)
    where = places(part, view, cells, GRID)
    # From the grid of the whole view back to stored pixels, by the line through two of its inner patches.
    first, last = inside[:, 1, 1], inside[:, -2, -2]
    expected = first[:, None] + (where - 1) / (GRID - 3) * (last - first)[:, None]
    error = (found - expected).abs()
    # Borders weigh fewer pixels when a crop is shrunk: compare what lies inside.
    assert error.median() < 0.2 and error.max() < 1.0


def test_small_crops_are_small_and_draw_apart_from_the_whole_views() -> None:
    whole = views(local_scale=[0.1, 0.2], crop="none", flip=0.0)
    small = Views(whole.config.small)
    area = small.draw(500, STORED, 0, 0, 2).extent[:, 2:].prod(1) / STORED**2
    assert area.min() > 0.09 and area.max() < 0.22
    assert not torch.equal(small.draw(9, STORED, 0, 0, 2).extent, small.draw(9, STORED, 0, 0, 3).extent)
    again = views().draw(9, STORED, 0, 0)
    assert torch.equal(again.extent, Views(ViewsConfig(size=SIZE)).draw(9, STORED, 0, 0).extent)
