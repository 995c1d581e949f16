"""ImageNet-100 is an index subset: labels 0 to 99, only its files, listed once, quick on a million names."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from hjepa.config import DataConfig
from hjepa.data import imagenet100
from hjepa.data.catalogue import find
from hjepa.data.dataset import StreamedImages, open_dataset
from hjepa.data.listing import Listing, list_images
from hjepa.overrides import ConfigError
from tests.data.shapes_folder import make_shapes

SHAPES = {"dataset": "imagenet100", "folder": "shapes", "image_size": 12}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_shapes(tmp_path)
    (tmp_path / "classes.txt").write_text("triangle\ncircle\n")
    return tmp_path


def config(root: Path, **options: object) -> DataConfig:
    return DataConfig.model_validate({**SHAPES, "root": str(root), **options})


def settle(folder: Path) -> None:
    """As if nothing had changed in the folder for a minute."""
    for path in (folder, *folder.iterdir()):
        os.utime(path, (time.time() - 60,) * 2)


def test_the_built_in_list_is_a_hundred_classes_of_imagenet() -> None:
    names = imagenet100.CLASSES
    assert len(set(names)) == 100 and list(names) == sorted(names)
    assert all(name.startswith("n") and name[1:].isdigit() and len(name) == 9 for name in names)
    # The first five and the last of the list as it was published, which is not sorted.
    assert {"n02869837", "n01749939", "n02488291", "n02107142", "n13037406", "n02090622"} <= set(names)


def test_a_million_names_are_cut_down_within_a_second() -> None:
    classes = tuple(f"n{number:08d}" for number in range(1000))
    labels = np.repeat(np.arange(1000), 1200)
    whole = Listing(classes, np.char.add(b"n00000000/", np.arange(1_200_000).astype("S7")), labels)
    chosen = tuple(sorted(np.random.default_rng(0).choice(classes, 100, replace=False)))
    began = time.perf_counter()
    part = whole.subset(chosen)
    assert time.perf_counter() - began < 1
    assert len(part.names) == len(part.labels) == 100 * 1200
    assert np.bincount(part.labels).tolist() == [1200] * 100
    numbers = np.array([int(name[1:]) for name in chosen])
    positions = np.char.partition(part.names, b"/")[:, 2].astype(np.int64)
    assert np.array_equal(labels[positions], numbers[part.labels])


def test_the_hundred_classes_of_a_larger_folder(root: Path) -> None:
    names = [*imagenet100.CLASSES, "n00000001", "n99999999"]
    source = root / "shapes" / "train" / "circle" / "000.png"
    for part in ("train", "val"):
        for name in names:
            (root / "imagenet" / part / name).mkdir(parents=True)
            for index in range(2):
                (root / "imagenet" / part / name / f"{index}.png").hardlink_to(source)
    entry = find(config(root, folder="imagenet"))
    train = entry.train.read()
    assert (entry.num_classes, entry.train.count(), len(entry.test.read().labels)) == (100, 200, 200)
    assert np.bincount(train.labels).tolist() == [2] * 100
    assert {os.fsdecode(name).split("/")[0] for name in train.names} == set(imagenet100.CLASSES)  # type: ignore[attr-defined]


def test_labels_are_numbered_anew_and_only_the_listed_classes_seen(root: Path) -> None:
    data = open_dataset(config(root, classes="classes.txt"))
    assert (data.num_classes, len(data.train) + len(data.holdout)) == (2, 80)
    assert set(data.train.labels.tolist()) == {0, 1} and len(data.test()) == 20
    whole = open_dataset(config(root, dataset="imagefolder"))
    assert whole.fingerprint != data.fingerprint
    (root / "all.txt").write_text("circle\nsquare\ntriangle\n")
    assert open_dataset(config(root, classes="all.txt")).fingerprint == whole.fingerprint


def test_an_item_reads_one_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    load = Image.open

    def counted(path: Path) -> Image.Image:
        opened.append(str(path))
        return load(path)

    monkeypatch.setattr(Image, "open", counted)
    source = open_dataset(config(root, classes="classes.txt", loading="stream")).train
    assert isinstance(source, StreamedImages) and not opened
    assert source[7].shape == (3, 12, 12)
    assert len(opened) == 1 and ("circle" in opened[0]) == (source.labels[7] == 0)


def test_a_folder_is_walked_once_and_again_when_it_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, memo = root / "shapes" / "train", root / "memo"
    walks: list[str] = []
    walk = torchvision.datasets.ImageFolder

    def counted(path: str, **options: object) -> object:
        walks.append(path)
        return walk(path, **options)

    monkeypatch.setattr(torchvision.datasets, "ImageFolder", counted)
    list_images(folder, memo)  # made a moment ago: not remembered
    settle(folder)
    first, again = list_images(folder, memo), list_images(folder, memo)
    assert len(walks) == 2 and len(list((memo / "listings").iterdir())) == 1
    assert np.array_equal(first.names, again.names) and np.array_equal(first.labels, again.labels)
    (folder / "circle" / "000.png").unlink()
    assert len(list_images(folder, memo).names) == len(first.names) - 1 and len(walks) == 3


def test_a_class_that_is_not_there_and_a_list_that_cannot_be_used_are_named(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.folder: .*train lacks 100 classes: n01558993, n01692333, "):
        find(config(root))
    with pytest.raises(ConfigError, match=r"^data\.classes: .*none\.txt cannot be read"):
        find(config(root, classes="none.txt"))
    (root / "classes.txt").write_text("circle\ncircle\n")
    with pytest.raises(ConfigError, match=r"^data\.classes: .*classes\.txt has 2 lines; allowed two or more classes"):
        find(config(root, classes="classes.txt"))


def test_an_empty_class_matters_only_where_it_is_used(root: Path) -> None:
    for part in ("train", "val"):
        (root / "shapes" / part / "hexagon").mkdir()
    assert find(config(root, classes="classes.txt")).train.count() == 80
    with pytest.raises(ConfigError, match=r"^data\.folder: .*train has no images of class hexagon$"):
        find(config(root, dataset="imagefolder")).train.count()
