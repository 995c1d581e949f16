"""Which image files a folder of classes holds: listed once and remembered, cut down to some classes by index."""

import hashlib
import io
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hjepa.data.images import Labels
from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_bytes

Names = npt.NDArray[np.bytes_]

#: A folder that changed less than this ago may change again without its time stamp showing it.
SETTLED_NANOSECONDS = 2_000_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """The images of a folder: `names` bytes [n] relative to it, `labels` int64 [n] into `classes`."""

    classes: tuple[str, ...]
    names: Names
    labels: Labels

    def subset(self, classes: Sequence[str]) -> "Listing":
        """Only the images of `classes`, which are among those of the folder; the first one's label becomes 0."""
        lookup = np.full(len(self.classes), -1, dtype=np.int64)
        number = {name: label for label, name in enumerate(self.classes)}
        lookup[[number[name] for name in classes]] = np.arange(len(classes))
        labels = lookup[self.labels]
        kept = np.flatnonzero(labels >= 0)
        return Listing(tuple(classes), self.names[kept], labels[kept])

    def refuse_empty(self, folder: Path) -> "Listing":
        """Itself. Raises ConfigError where a class has no image."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        empty = [name for name, count in zip(self.classes, counts, strict=True) if not count]
        if empty:
            raise ConfigError([f"data.folder: {folder} has no images of class {', '.join(empty[:5])}"])
        return self


def class_names(folder: Path) -> tuple[str, ...]:
    """The classes of a folder: its folders, sorted."""
    with os.scandir(folder) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir()))


def list_images(folder: Path, memo: Path) -> Listing:
    """The images of a folder of classes, as torchvision's ImageFolder finds them; a class may be empty.

    Remembered under `memo` as npz by the time stamps of the class folders, so that only the first call walks
    through them.
    """
    classes = class_names(folder)
    stamps = {name: (folder / name).stat().st_mtime_ns for name in classes}
    key = hashlib.sha256(repr((str(folder), stamps)).encode()).hexdigest()
    note = memo / "listings" / f"{key[:32]}.npz"
    if note.exists():
        with np.load(note) as stored:
            return Listing(classes, stored["names"], stored["labels"])
    from torchvision import datasets  # noqa: PLC0415 - it takes seconds to load

    found = datasets.ImageFolder(str(folder), allow_empty=True).samples
    start = len(str(folder)) + 1
    names = np.array([os.fsencode(path[start:]) for path, _ in found], dtype=np.bytes_)
    listing = Listing(classes, names, np.array([label for _, label in found], dtype=np.int64))
    flat = not any(name.count(b"/") > 1 for name in names)  # deeper folders have time stamps of their own
    if flat and max(stamps.values(), default=0) < time.time_ns() - SETTLED_NANOSECONDS:
        _remember(note, listing)
    return listing


def _remember(note: Path, listing: Listing) -> None:
    content = io.BytesIO()
    np.savez(content, names=listing.names, labels=listing.labels)
    try:
        write_bytes(note, content.getvalue())
    except OSError as error:  # the note only saves time
        log.info("listing is not remembered: %s", error)
