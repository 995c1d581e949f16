"""Only what the student sees is corrupted, by each image's own draws; noise is standard normal, in slices the same."""

from typing import Any

import pytest
import torch

from hjepa.config import ViewsConfig
from hjepa.data import Views
from hjepa.data.corruption import erase, gaussian


def corrupted(count: int = 8, **options: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Views of random images, and what the student sees of them."""
    views = Views(ViewsConfig.model_validate({"size": 24, **options}))
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    params = views.draw(count, 32, seed=0, step=0)
    clean = views.apply(images, params)
    kept = clean.clone()
    changed = views.corrupt(clean, params)
    assert torch.equal(clean, kept)  # the target's views are as they were
    return clean, changed


def test_off_is_none_and_draws_nothing() -> None:
    assert corrupted()[1] is None
    params = Views(ViewsConfig()).draw(4, 32, seed=0, step=0)
    assert params.erased is None and params.noise is None


def test_the_clean_views_do_not_depend_on_the_corruption() -> None:
    assert torch.equal(corrupted()[0], corrupted(noise=0.5, erasing=0.5)[0])


def test_erasing_greys_one_box_in_its_share_of_the_images() -> None:
    clean, changed = corrupted(count=400, erasing=0.25)
    assert changed is not None
    touched = (clean != changed).any(1)
    share = touched.flatten(1).float().mean(1)
    assert abs((share > 0).float().mean() - 0.25) < 3.5 * (0.25 * 0.75 / 400) ** 0.5
    assert share[share > 0].min() >= 0.01 and share.max() <= 0.36
    for where, image in zip(touched, changed, strict=True):
        rows, columns = where.any(1), where.any(0)
        assert (where == rows[:, None] & columns[None, :]).all() and (image[:, where] == 0).all()


def test_a_box_is_where_it_says() -> None:
    out = erase(torch.ones(2, 3, 6, 6), torch.tensor([[1.0, 2.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    assert (out[0, :, 1:4, 2:4] == 0).all() and out[0].sum() == 3 * (36 - 6) and (out[1] == 1).all()


def test_noise_is_standard_normal_and_independent() -> None:
    keys = torch.randint(0, 2**31 - 1, (64,), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    noise = gaussian(keys, torch.Size([3, 32, 32]), torch.device("cpu"))
    flat = noise.flatten(1).double()
    count = flat.numel()
    assert abs(flat.mean()) < 4 / count**0.5 and abs(flat.std() - 1) < 4 / (2 * count) ** 0.5
    assert abs((flat**4).mean() - 3) < 4 * (96 / count) ** 0.5 and noise.isfinite().all()
    within = torch.corrcoef(flat)
    assert (within - torch.eye(64)).abs().max() < 5 / 3072**0.5  # between images
    for lag in (1, 32, 1024):  # along rows, columns, channels
        assert abs((flat[:, lag:] * flat[:, :-lag]).mean()) < 4 / count**0.5
    neighbours = gaussian(torch.arange(64, dtype=torch.int32), torch.Size([3072]), torch.device("cpu")).double()
    assert (torch.corrcoef(neighbours) - torch.eye(64)).abs().max() < 5 / 3072**0.5


def test_the_strength_is_the_noise_s() -> None:
    clean, changed = corrupted(noise=0.25)
    assert changed is not None and abs((changed - clean).std() - 0.25) < 0.01


@pytest.mark.parametrize("width", [1, 3])
def test_slices_give_the_pixels_of_the_whole(width: int) -> None:
    views = Views(ViewsConfig(size=16, noise=0.3, erasing=0.5))
    clean = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    params = views.draw(9, 32, seed=0, step=4)
    whole = views.corrupt(clean, params)
    cuts = [slice(start, start + width) for start in range(0, 9, width)]
    parts = [views.corrupt(clean[rows], params[rows]) for rows in cuts]
    assert whole is not None and torch.equal(torch.cat([part for part in parts if part is not None]), whole)


@pytest.mark.gpu
def test_noise_is_the_same_on_a_gpu() -> None:
    keys, shape = torch.arange(50, dtype=torch.int32) * 7919, torch.Size([3, 32, 32])
    ours = gaussian(keys, shape, torch.device("cuda")).cpu()
    torch.testing.assert_close(ours, gaussian(keys, shape, torch.device("cpu")), atol=1e-4, rtol=1e-4)
