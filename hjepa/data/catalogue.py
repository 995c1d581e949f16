"""The data sets: where their files lie, how many classes they have, how each split is read."""

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from sklearn.datasets import load_digits
from torchvision import datasets

from hjepa.config import DataConfig
from hjepa.data.cache import files_digest
from hjepa.data.images import ArrayImages, FileImages, Images, Labels
from hjepa.data.split import stratified_order
from hjepa.overrides import ConfigError
from hjepa.runtime.streams import numpy_generator

DIGITS_TEST_IMAGES = 360


@dataclass(frozen=True)
class RawSplit:
    """A split that is not read yet.

    `count()` estimates its number of images without reading them, `digest(memo folder)` names its
    content, `read()` opens it.
    """

    count: Callable[[], int]
    digest: Callable[[Path], str]
    read: Callable[[], Images]


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue, found on this machine; `size` is the side images are decoded to."""

    name: str
    num_classes: int
    size: int
    train: RawSplit
    test: RawSplit


def data_root(config: DataConfig) -> Path | None:
    """`data.root`, else HJEPA_DATA, absolute; None when neither is set."""
    named = config.root or os.environ.get("HJEPA_DATA")
    return Path(named).expanduser().absolute() if named else None


def find(config: DataConfig) -> Entry:
    """The configured data set. Raises ConfigError, one line, when its files are not there."""
    return FINDERS[config.dataset](config)


def _missing(config: DataConfig, folder: str, detail: str = "") -> ConfigError:
    root = data_root(config)
    looked = f"looked in {root / folder}" if root else "neither data.root nor HJEPA_DATA is set"
    ways = f"set data.root or HJEPA_DATA to the folder that holds {folder}"
    if config.dataset in ARCHIVES:
        ways += ", or data.download=true to let torchvision fetch it"
    return ConfigError([f"data.dataset: {config.dataset} is missing{detail}; {looked}; {ways}"])


# --- digits -----------------------------------------------------------------------------------------------


@functools.cache
def _digits() -> tuple[ArrayImages, ArrayImages]:
    """Train and test of scikit-learn's 1,797 handwritten digits, uint8 [n, 3, 8, 8]; a fixed stratified split."""
    bunch = load_digits()
    grey = np.round(bunch.images * (255.0 / 16.0)).astype(np.uint8)
    pixels = np.ascontiguousarray(np.repeat(grey[:, None], 3, axis=1))
    labels = bunch.target.astype(np.int64)
    order = stratified_order(labels, numpy_generator(0, "digits.test"))
    test, train = np.sort(order[:DIGITS_TEST_IMAGES]), np.sort(order[DIGITS_TEST_IMAGES:])
    return ArrayImages(pixels[train], labels[train], 8), ArrayImages(pixels[test], labels[test], 8)


def _find_digits(config: DataConfig) -> Entry:
    size = config.image_size or 8

    def raw(part: int) -> RawSplit:
        def digest(_memo: Path) -> str:
            images = _digits()[part]
            return hashlib.sha256(images.array.tobytes() + images.labels.tobytes()).hexdigest()

        def read() -> Images:
            return replace(_digits()[part], size=size)

        return RawSplit(lambda: len(_digits()[part].labels), digest, read)

    return Entry("digits", 10, size, raw(0), raw(1))


# --- archives that torchvision can fetch ------------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    """A torchvision data set of a few binary files: its class, classes, native side, files of a split."""

    kind: Any
    num_classes: int
    side: int
    files: Callable[[DataConfig, bool], tuple[str, ...]]
    open: Callable[[DataConfig, Path, bool], Any]


def _cifar_files(kind: Any) -> Callable[[DataConfig, bool], tuple[str, ...]]:
    return lambda _config, train: tuple(name for name, _ in (kind.train_list if train else kind.test_list))


def _stl10_files(config: DataConfig, train: bool) -> tuple[str, ...]:
    if not train:
        return ("test_X.bin", "test_y.bin")
    labelled = ("train_X.bin", "train_y.bin")
    return labelled if config.stl10 == "labelled" else (*labelled, "unlabeled_X.bin")


def _open_stl10(config: DataConfig, root: Path, train: bool) -> Any:
    split = "test" if not train else "train" if config.stl10 == "labelled" else "train+unlabeled"
    return datasets.STL10(str(root), split)


ARCHIVES = {
    "cifar10": Archive(
        datasets.CIFAR10,
        10,
        32,
        _cifar_files(datasets.CIFAR10),
        lambda _, root, train: datasets.CIFAR10(str(root), train),
    ),
    "cifar100": Archive(
        datasets.CIFAR100,
        100,
        32,
        _cifar_files(datasets.CIFAR100),
        lambda _, root, train: datasets.CIFAR100(str(root), train),
    ),
    "stl10": Archive(datasets.STL10, 10, 96, _stl10_files, _open_stl10),
}


def _download(config: DataConfig, archive: Archive, root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{config.dataset}.lock"):  # trials that start together download once
            archive.kind(str(root), download=True)
    except (OSError, RuntimeError) as error:  # no network, a full or read-only disk, a wrong checksum
        reason = " ".join(str(error).split())
        raise ConfigError(
            [f"data.download: torchvision cannot fetch {config.dataset} into {root} ({reason})"]
        ) from error


def _find_archive(config: DataConfig) -> Entry:
    archive = ARCHIVES[config.dataset]
    base, root = archive.kind.base_folder, data_root(config)
    if root is None:
        raise _missing(config, base)
    folder, size = root / base, config.image_size or archive.side

    def paths(train: bool) -> list[Path]:
        return [folder / name for name in archive.files(config, train)]

    if config.download and not all(path.exists() for path in paths(True) + paths(False)):
        _download(config, archive, root)
    absent = [path.name for path in paths(True) + paths(False) if not path.exists()]
    if absent:
        raise _missing(config, base, f" (no {absent[0]})")

    def raw(train: bool) -> RawSplit:
        def read() -> Images:
            try:
                opened = archive.open(config, root, train)
            except RuntimeError as error:  # torchvision's own checksum of the files
                raise _missing(config, base, " or damaged") from error
            array, labels = opened.data, getattr(opened, "labels", None)
            if labels is None:  # CIFAR: channels last, labels under another name
                array, labels = array.transpose(0, 3, 1, 2), opened.targets
            return ArrayImages(array, np.asarray(labels, dtype=np.int64), size)

        def count() -> int:
            return sum(path.stat().st_size for path in paths(train)) // (3 * archive.side**2)

        return RawSplit(count, lambda memo: files_digest(paths(train), folder, memo), read)

    return Entry(config.dataset, archive.num_classes, size, raw(True), raw(False))


# --- folders of image files -------------------------------------------------------------------------------


def _find_folder(config: DataConfig) -> Entry:
    assert config.folder is not None and config.image_size is not None  # the schema asks for both
    root, size = data_root(config), config.image_size
    absent = [part for part in ("train", "val") if root is None or not (root / config.folder / part).is_dir()]
    if root is None or absent:
        raise _missing(config, config.folder, f" (no {absent[0]}/)")
    folder = root / config.folder
    classes = {part: {path.name for path in (folder / part).iterdir() if path.is_dir()} for part in ("train", "val")}
    if classes["train"] != classes["val"]:
        odd = sorted(classes["train"] ^ classes["val"])
        raise ConfigError([f"data.folder: train/ and val/ of {folder} differ in classes: {', '.join(odd[:5])}"])

    def raw(part: str) -> RawSplit:
        @functools.cache
        def samples() -> tuple[tuple[Path, ...], Labels]:
            try:
                found = datasets.ImageFolder(str(folder / part)).samples
            except FileNotFoundError as error:  # a class without images
                raise ConfigError([f"data.folder: {folder / part}: {str(error).splitlines()[0]}"]) from error
            return tuple(Path(name) for name, _ in found), np.array([label for _, label in found], dtype=np.int64)

        return RawSplit(
            lambda: len(samples()[0]),
            lambda memo: files_digest(samples()[0], folder, memo),
            lambda: FileImages(*samples(), size),
        )

    return Entry("imagefolder", len(classes["train"]), size, raw("train"), raw("val"))


FINDERS: dict[str, Callable[[DataConfig], Entry]] = {
    "digits": _find_digits,
    "cifar10": _find_archive,
    "cifar100": _find_archive,
    "stl10": _find_archive,
    "imagefolder": _find_folder,
}
