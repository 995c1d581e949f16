"""Folders with an image in each file and a folder for each class: any such folder, and the subset ImageNet-100."""

import functools
import os
from collections.abc import Iterable
from pathlib import Path

from hjepa.config import DataConfig
from hjepa.data import imagenet100
from hjepa.data.cache import cache_folder, files_digest
from hjepa.data.entry import Entry, RawSplit, missing
from hjepa.data.images import FileImages, Images
from hjepa.data.listing import Listing, class_names, list_images
from hjepa.overrides import ConfigError

PARTS = ("train", "val")


def find_folder(config: DataConfig, root: Path | None) -> Entry:
    """All classes of the configured folder. Raises ConfigError when a part or a class of one part is missing."""
    folder = _folder(config, root)
    train, val = (set(class_names(folder / part)) for part in PARTS)
    if train != val:
        raise ConfigError([f"data.folder: train/ and val/ of {folder} differ in classes: {_some(train ^ val)}"])
    return _entry(config, folder, tuple(sorted(train)))


def find_imagenet100(config: DataConfig, root: Path | None) -> Entry:
    """The classes of `data.classes`, by default ImageNet-100's, of the configured folder; labels from 0, sorted.

    Raises ConfigError when the list cannot be read or the folder lacks one of its classes.
    """
    folder = _folder(config, root)
    assert root is not None  # or the folder would not have been found
    classes = _listed(root, config)
    for part in PARTS:
        absent = set(classes) - set(class_names(folder / part))
        if absent:
            raise ConfigError([f"data.folder: {folder / part} lacks {len(absent)} classes: {_some(absent)}"])
    return _entry(config, folder, classes)


def _folder(config: DataConfig, root: Path | None) -> Path:
    assert config.folder is not None  # the schema asks for it
    absent = [part for part in PARTS if root is None or not (root / config.folder / part).is_dir()]
    if root is None or absent:
        raise missing(config, root, config.folder, f" (no {absent[0]}/)")
    return root / config.folder


def _listed(root: Path, config: DataConfig) -> tuple[str, ...]:
    if config.classes is None:
        return imagenet100.CLASSES
    path = root / config.classes
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"data.classes: {path} cannot be read ({error})"]) from error
    if len(lines) < 2 or len(set(lines)) < len(lines):
        raise ConfigError([f"data.classes: {path} has {len(lines)} lines; allowed two or more classes, each once"])
    return tuple(sorted(lines))


def _entry(config: DataConfig, folder: Path, classes: tuple[str, ...]) -> Entry:
    size, memo = config.image_size, cache_folder(config)
    assert size is not None  # the schema asks for it

    def raw(part: str) -> RawSplit:
        @functools.cache
        def listing() -> Listing:
            return list_images(folder / part, memo).subset(classes).refuse_empty(folder / part)

        def digest(notes: Path) -> str:
            return files_digest([folder / part / os.fsdecode(name) for name in listing().names], folder, notes)

        def read() -> Images:
            return FileImages(folder / part, listing().names, listing().labels, size)

        return RawSplit(lambda: len(listing().names), digest, read)

    return Entry(config.dataset, len(classes), size, raw("train"), raw("val"))


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:5])
