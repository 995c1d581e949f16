"""Data sets of a few binary files that torchvision can fetch: CIFAR-10, CIFAR-100, STL-10."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from hjepa.config import DataConfig
from hjepa.data.cache import files_digest
from hjepa.data.entry import Entry, RawSplit, missing
from hjepa.data.images import ArrayImages, Images
from hjepa.overrides import ConfigError


@dataclass(frozen=True)
class Archive:
    """A torchvision data set of a few binary files: the name of its class, classes, native side, files of a split."""

    name: str
    num_classes: int
    side: int
    files: Callable[["Archive", DataConfig, bool], tuple[str, ...]]
    open: Callable[["Archive", DataConfig, Path, bool], Any]

    @property
    def kind(self) -> Any:
        """Its class."""
        from torchvision import datasets  # noqa: PLC0415 - it takes seconds to load

        return getattr(datasets, self.name)


def _cifar_files(archive: Archive, _config: DataConfig, train: bool) -> tuple[str, ...]:
    return tuple(name for name, _ in (archive.kind.train_list if train else archive.kind.test_list))


def _open_cifar(archive: Archive, _config: DataConfig, root: Path, train: bool) -> Any:
    return archive.kind(str(root), train)


def _stl10_files(_archive: Archive, config: DataConfig, train: bool) -> tuple[str, ...]:
    if not train:
        return ("test_X.bin", "test_y.bin")
    labelled = ("train_X.bin", "train_y.bin")
    return labelled if config.stl10 == "labelled" else (*labelled, "unlabeled_X.bin")


def _open_stl10(archive: Archive, config: DataConfig, root: Path, train: bool) -> Any:
    split = "test" if not train else "train" if config.stl10 == "labelled" else "train+unlabeled"
    return archive.kind(str(root), split)


ARCHIVES = {
    "cifar10": Archive("CIFAR10", 10, 32, _cifar_files, _open_cifar),
    "cifar100": Archive("CIFAR100", 100, 32, _cifar_files, _open_cifar),
    "stl10": Archive("STL10", 10, 96, _stl10_files, _open_stl10),
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


def find_archive(config: DataConfig, root: Path | None) -> Entry:
    """The configured archive under the data root, downloaded when that is asked for. Raises ConfigError."""
    archive = ARCHIVES[config.dataset]
    base = archive.kind.base_folder
    if root is None:
        raise missing(config, root, base, fetch=True)
    folder, size = root / base, config.image_size or archive.side

    def paths(train: bool) -> list[Path]:
        return [folder / name for name in archive.files(archive, config, train)]

    if config.download and not all(path.exists() for path in paths(True) + paths(False)):
        _download(config, archive, root)
    absent = [path.name for path in paths(True) + paths(False) if not path.exists()]
    if absent:
        raise missing(config, root, base, f" (no {absent[0]})", fetch=True)

    def raw(train: bool) -> RawSplit:
        def read() -> Images:
            try:
                opened = archive.open(archive, config, root, train)
            except RuntimeError as error:  # torchvision's own checksum of the files
                raise missing(config, root, base, " or damaged", fetch=True) from error
            array, labels = opened.data, getattr(opened, "labels", None)
            if labels is None:  # CIFAR: channels last, labels under another name
                array, labels = array.transpose(0, 3, 1, 2), opened.targets
            return ArrayImages(array, np.asarray(labels, dtype=np.int64), size)

        def count() -> int:
            return sum(path.stat().st_size for path in paths(train)) // (3 * archive.side**2)

        return RawSplit(count, lambda memo: files_digest(paths(train), folder, memo), read)

    return Entry(config.dataset, archive.num_classes, size, raw(True), raw(False))
