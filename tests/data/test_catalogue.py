"""Each data set is read in its true format, and one that is missing says where it was looked for and how to get it."""

from pathlib import Path
from typing import get_args
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from hjepa.config import DataConfig
from hjepa.config.mixture import MixtureConfig
from hjepa.data.catalogue import FINDERS, find
from hjepa.overrides import ConfigError
from tests.data.archives import make_cifar10, make_cifar100, make_stl10
from tests.data.shapes_folder import make_shapes


@pytest.fixture
def _any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take small files for the published ones; all else of torchvision's reading is real."""

    def present(path: str, _md5: str | None = None) -> bool:
        return Path(path).exists()

    for module in (torchvision.datasets.cifar, torchvision.datasets.stl10):
        monkeypatch.setattr(module, "check_integrity", present)


@pytest.fixture(autouse=True)
def _no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HJEPA_DATA", raising=False)


def test_every_name_the_schema_allows_can_be_found() -> None:
    assert {*FINDERS, "mixture"} == set(get_args(DataConfig.model_fields["dataset"].annotation))
    assert set(FINDERS) == set(MixtureConfig.model_fields)


def test_digits_are_the_real_ones_split_once() -> None:
    entry = find(DataConfig())
    train, test = entry.train.read(), entry.test.read()
    assert (len(train.labels), len(test.labels), entry.size) == (1437, 360, 8)
    assert np.bincount(test.labels).min() >= 34
    pixels = np.stack([train.pixels(index) for index in range(100)])
    assert pixels.shape == (100, 3, 8, 8) and pixels.dtype == np.uint8
    assert pixels.min() == 0 and pixels.max() == 255
    assert (pixels[:, 0] == pixels[:, 2]).all()


@pytest.mark.usefixtures("_any_checksum")
def test_cifar_files(tmp_path: Path) -> None:
    for name, make, classes in (("cifar10", make_cifar10, 10), ("cifar100", make_cifar100, 100)):
        expected = make(tmp_path)
        entry = find(DataConfig(dataset=name, root=str(tmp_path)))  # type: ignore[arg-type]
        images = entry.train.read()
        assert (entry.num_classes, entry.size, entry.train.count()) == (classes, 32, len(expected))
        assert all(np.array_equal(images.pixels(index), pixels) for index, pixels in enumerate(expected))
        assert images.labels.dtype == np.int64 and images.labels[:10].tolist() == list(range(10))
        assert len(entry.test.read().labels) > 0


@pytest.mark.usefixtures("_any_checksum")
@pytest.mark.parametrize(("which", "count"), [("labelled", 40), ("unlabelled", 70), ("both", 70)])
def test_stl10_files(tmp_path: Path, which: str, count: int) -> None:
    expected = make_stl10(tmp_path)
    entry = find(DataConfig(dataset="stl10", stl10=which, root=str(tmp_path)))  # type: ignore[arg-type]
    images = entry.train.read()
    assert (len(images.labels), entry.train.count(), entry.size) == (count, count, 96)
    assert images.labels[:40].tolist() == [index % 10 for index in range(40)] and (images.labels[40:] == -1).all()
    assert np.array_equal(images.pixels(count - 1), expected[count - 1])
    assert len(entry.test.read().labels) == 20


def test_image_folders_of_files(tmp_path: Path) -> None:
    make_shapes(tmp_path)
    entry = find(DataConfig(dataset="imagefolder", folder="shapes", image_size=12, root=str(tmp_path)))
    train, test = entry.train.read(), entry.test.read()
    assert (entry.num_classes, entry.train.count()) == (3, 120)
    assert np.bincount(train.labels).tolist() == [40, 40, 40] and np.bincount(test.labels).tolist() == [10, 10, 10]
    assert train.pixels(0).shape == (3, 12, 12)


def test_class_names_of_train_and_val_must_agree(tmp_path: Path) -> None:
    make_shapes(tmp_path)
    (tmp_path / "shapes" / "val" / "square").rename(tmp_path / "shapes" / "val" / "oblong")
    config = DataConfig(dataset="imagefolder", folder="shapes", image_size=12, root=str(tmp_path))
    with pytest.raises(ConfigError, match=r"^data\.folder: train/ and val/ of .* differ in classes: oblong, square$"):
        find(config)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    make_shapes(tmp_path)
    for part in ("train", "val"):
        (tmp_path / "shapes" / part / "hexagon").mkdir()
    config = DataConfig(dataset="imagefolder", folder="shapes", image_size=12, root=str(tmp_path))
    with pytest.raises(ConfigError, match=r"^data\.folder: .*hexagon"):
        find(config).train.count()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "imagefolder", "imagenet100"])
@pytest.mark.parametrize("rooted", [True, False])
def test_missing_files_say_where_they_were_looked_for_and_both_ways(tmp_path: Path, name: str, rooted: bool) -> None:
    options = {"folder": "pets", "image_size": 16} if name.startswith("image") else {}
    config = DataConfig(dataset=name, root=str(tmp_path) if rooted else None, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        find(config)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith(f"data.dataset: {name} is missing")
    assert "set data.root or HJEPA_DATA" in text
    assert (f"looked in {tmp_path}" in text) is rooted
    assert ("data.download=true" in text) is not name.startswith("image")


def test_damaged_files_are_not_read(tmp_path: Path) -> None:
    make_cifar10(tmp_path)  # without the published checksums
    with pytest.raises(ConfigError, match=r"^data\.dataset: cifar10 is missing or damaged; looked in "):
        find(DataConfig(dataset="cifar10", root=str(tmp_path))).train.read()


@pytest.mark.usefixtures("_any_checksum")
def test_download_lets_torchvision_fetch_what_is_missing_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def fetch(self: torchvision.datasets.CIFAR10) -> None:
        fetched.append(self.root)
        make_cifar10(Path(self.root))

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fetch)
    config = DataConfig(dataset="cifar10", root=str(tmp_path / "new"), download=True)
    assert find(config).train.count() == 100
    find(config)
    assert fetched == [str(tmp_path / "new")]


def test_a_download_that_fails_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_self: torchvision.datasets.CIFAR10) -> None:
        raise URLError("no\nnetwork")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fetch)
    with pytest.raises(ConfigError, match=r"^data\.download: torchvision cannot fetch cifar10 into .*no network.*$"):
        find(DataConfig(dataset="cifar10", root=str(tmp_path), download=True))
