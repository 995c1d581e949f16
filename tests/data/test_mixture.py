"""A mixture keeps its proportions to the image, is a function of (seed, epoch), and gives each image its own pixels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import datasets

from hjepa.config import DataConfig
from hjepa.data import Dataset, fingerprint, open_dataset
from hjepa.data.mixture import Proportions, quotas
from hjepa.overrides import ConfigError, Layer, identity, resolve
from tests.data.archives import make_cifar10, make_cifar100, make_stl10
from tests.data.shapes_folder import make_shapes

THREE = Proportions(("a", "b", "c"), (40, 1000, 90), (25, 15, 10))
WEIGHTS = {"stl10": 5, "cifar100": 3, "cifar10": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    make_cifar10(folder)
    make_cifar100(folder)
    make_stl10(folder)
    make_shapes(folder)
    with pytest.MonkeyPatch.context() as patch:
        for module in (datasets.cifar, datasets.stl10):  # small files for the published ones
            patch.setattr(module, "check_integrity", lambda path, _md5=None: Path(path).exists())
        yield folder


def mixture(root: Path, **options: Any) -> DataConfig:
    settings = {"dataset": "mixture", "mixture": WEIGHTS, "image_size": 16, "root": str(root)}
    return DataConfig.model_validate(settings | options)


def part_of(order: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    return np.searchsorted(np.cumsum(sizes), order, side="right")


# --- order -------------------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
def test_counts_add_up_and_are_within_one_image_of_their_share(total: int, weights: list[float]) -> None:
    shares = {str(number): weight / sum(weights) for number, weight in enumerate(weights)}
    if total * min(shares.values()) < 1:
        return  # refused, see below
    counts = quotas(total, shares)
    assert sum(counts.values()) == total
    assert all(abs(counts[name] - total * share) < 1 for name, share in shares.items())


def test_the_roadmap_s_epoch_is_exact() -> None:
    assert quotas(50_000, {"stl10": 0.5, "cifar100": 0.3, "cifar10": 0.2}) == {
        "stl10": 25_000,
        "cifar100": 15_000,
        "cifar10": 10_000,
    }


def test_a_data_set_without_an_image_in_an_epoch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^data\.epoch_images: got 20; allowed more, so that b has an image"):
        quotas(20, {"a": 0.99, "b": 0.01})


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_epoch_and_every_stretch_of_it_has_the_proportions(epoch: int) -> None:
    parts = part_of(THREE.order(0, epoch), THREE.sizes)
    assert np.bincount(parts).tolist() == [25, 15, 10] and THREE.epoch_images == 50
    for stop in range(1, 51):
        for part, share in enumerate((0.5, 0.3, 0.2)):
            assert abs((parts[:stop] == part).sum() - stop * share) <= 1.001


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    orders = [THREE.order(seed, epoch).tolist() for seed, epoch in ((0, 3), (0, 3), (0, 4), (1, 3))]
    assert orders[0] == orders[1] and orders[0] not in orders[2:]


def test_no_image_comes_twice_in_an_epoch_and_all_come_in_time() -> None:
    orders = [THREE.order(0, epoch) for epoch in range(20)]
    assert all(len(set(order.tolist())) == 50 for order in orders)
    seen = np.bincount(np.concatenate(orders), minlength=1130)
    assert (seen[:40] > 0).all()  # 25 of 40 in each epoch
    assert abs((seen[40:1040] > 0).sum() - 1000 * (1 - 0.985**20)) < 50  # 15 of 1000


def test_an_epoch_larger_than_a_part_repeats_it_evenly() -> None:
    small = Proportions(("a", "b"), (7, 50), (30, 10))
    times = np.bincount(small.order(0, 2), minlength=57)
    assert set(times[:7].tolist()) == {4, 5} and times[:7].sum() == 30 and times[7:].max() == 1


def test_workers_share_no_image() -> None:
    order = Proportions(("a", "b"), (300, 200), (60, 40)).order(0, 0)
    batches = order[:96].reshape(-1, 32)
    shares = [set(batches[:, rank * 16 : (rank + 1) * 16].ravel().tolist()) for rank in range(2)]
    assert not shares[0] & shares[1] and sum(map(len, shares)) == 96


def test_single_sets_keep_the_order_they_had() -> None:
    from hjepa.runtime.streams import numpy_generator

    data = open_dataset(DataConfig())
    assert data.epoch_images == len(data.train)
    for seed, epoch in ((0, 0), (3, 5)):
        expected = numpy_generator(seed, "order", epoch).permutation(len(data.train))
        assert np.array_equal(data.order(seed, epoch), expected)


# --- images ------------------------------------------------------------------------------------------------


def lists(data: Dataset) -> list[np.ndarray]:
    order = data.order(0, 0)
    return [order[start : start + 17] for start in range(0, 51, 17)]


@pytest.mark.parametrize("workers", [0, 1])
def test_each_number_is_its_own_image_cached_or_streamed(root: Path, workers: int) -> None:
    config = mixture(root)
    data = open_dataset(config)
    parts = [open_dataset(config.part(name)).train for name in config.shares]
    starts = np.cumsum([0, *map(len, parts)])
    assert len(data.train) == starts[-1] and list(config.shares) == ["cifar10", "cifar100", "stl10"]
    streamed = open_dataset(mixture(root, loading="stream", workers=workers))
    chosen = lists(data)
    for index, ours, theirs in zip(chosen, data.train.batches(chosen), streamed.train.batches(chosen), strict=True):
        rows = []
        for number in index:
            part = int(np.searchsorted(starts, number, side="right")) - 1
            rows += parts[part].batches([np.array([number - starts[part]])])
        assert torch.equal(ours, torch.cat(rows)) and torch.equal(theirs, ours) and ours.shape == (17, 3, 16, 16)
    assert streamed.fingerprint == data.fingerprint


def test_a_batch_without_a_part_asks_nothing_of_it(root: Path) -> None:
    data = open_dataset(mixture(root))
    (batch,) = data.train.batches([np.array([0, 3])])
    assert batch.shape == (2, 3, 16, 16)


def test_pretraining_sees_no_labels_and_the_probe_those_of_its_data_set(root: Path) -> None:
    config = mixture(root)
    assert config.probed == "stl10"
    for chosen, classes in ((config, 10), (mixture(root, probe="cifar100"), 100)):
        data, alone = open_dataset(chosen), open_dataset(config.part(chosen.probed))
        assert (data.train.labels == -1).all() and data.num_classes == classes
        for ours, theirs in ((data.fit, alone.fit), (data.holdout, alone.holdout), (data.test(), alone.test())):
            assert np.array_equal(ours.labels, theirs.labels) and len(ours) > 0


def test_the_fingerprint_is_of_the_parts(root: Path) -> None:
    first = fingerprint(mixture(root))
    assert open_dataset(mixture(root)).fingerprint == first
    same = [
        mixture(root, probe="cifar10"),
        mixture(root, epoch_images=90),
        mixture(root, mixture=WEIGHTS | {"stl10": 1}),
    ]
    assert {fingerprint(config) for config in same} == {first}
    other = [mixture(root, image_size=12), mixture(root, mixture={"cifar10": 1, "cifar100": 1})]
    assert len({first, *(fingerprint(config) for config in other)}) == 3


def test_the_length_of_an_epoch(root: Path) -> None:
    data = open_dataset(mixture(root))
    assert data.epoch_images == len(data.train) == len(data.order(0, 0))
    short = open_dataset(mixture(root, epoch_images=40))
    assert short.epoch_images == 40 and short.proportions is not None and short.proportions.counts == (8, 12, 20)


def test_folders_and_downloads_are_those_of_the_parts(root: Path) -> None:
    weights = {"imagefolder": 1, "digits": 1}
    data = open_dataset(mixture(root, mixture=weights, folder="shapes", train_size=50, probe="imagefolder"))
    assert (len(data.train), data.num_classes, len(data.fit)) == (100, 3, 50)


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"data.mixture.digits": 1.0}, "data.dataset: got mixture; allowed with at least two of data.mixture above 0"),
        ({"data.image_size": None}, "data.image_size: got null; data.dataset mixture needs it"),
        ({"data.probe": "stl10"}, "data.probe: got stl10; allowed cifar10, digits"),
        ({"data.folder": "shapes"}, "data.folder: got shapes; allowed only with imagefolder or imagenet100"),
        ({"data.stl10": "labelled"}, "data.stl10: got labelled; allowed only with stl10 in data.mixture"),
        ({"data.mixture.imagefolder": 1.0}, "data.folder: got null; data.dataset imagefolder needs it"),
        (
            {"data.mixture.imagefolder": 1.0, "data.mixture.imagenet100": 1.0, "data.folder": "shapes"},
            "data.mixture.imagenet100: got a weight beside imagefolder",
        ),
    ],
)
def test_what_a_mixture_cannot_be_is_one_line(settings: dict[str, Any], line: str) -> None:
    base = {"data.dataset": "mixture", "data.image_size": 16, "data.mixture.digits": 1.0, "data.mixture.cifar10": 1.0}
    if list(settings) == ["data.mixture.digits"]:
        base = {"data.dataset": "mixture", "data.image_size": 16}
    with pytest.raises(ConfigError) as caught:
        resolve([Layer("test", base | settings)])
    (problem,) = caught.value.problems
    assert problem.startswith(line)


def test_two_spellings_of_one_mixture_are_one_trial() -> None:
    base = {"data.dataset": "mixture", "data.image_size": 16}
    spellings = [
        {"data.mixture.digits": 1.0, "data.mixture.cifar10": 3.0},
        {"data.mixture.digits": 0.25, "data.mixture.cifar10": 0.75, "data.probe": "cifar10"},
    ]
    names = [identity(resolve([Layer("test", base | spelling)]), "data") for spelling in spellings]
    other = identity(resolve([Layer("test", base | spellings[0] | {"data.probe": "digits"})]), "data")
    assert names[0] == names[1] != other
