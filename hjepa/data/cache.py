"""Decoded images on disk: built once by whoever comes first, checked and memory-mapped by all."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from hjepa.config import DataConfig
from hjepa.data.images import Images, Labels, Pixels
from hjepa.overrides import ConfigError
from hjepa.runtime.device import available_cores

FORMAT = 1  # part of every key: raise it when decoding or the layout changes
FULL_CHECK_BYTES = 64 << 20
BLOCK_BYTES = 256 << 10
DECODE_CHUNK = 1024

log = logging.getLogger(__name__)


def cache_folder(config: DataConfig) -> Path:
    """`data.cache`, else HJEPA_CACHE, else the user's cache folder; absolute."""
    named = config.cache or os.environ.get("HJEPA_CACHE")
    return Path(named or platformdirs.user_cache_path("hjepa")).expanduser().absolute()


def files_digest(files: Sequence[Path], folder: Path, memo: Path) -> str:
    """sha256 of the files' names under `folder` and their bytes.

    Remembered in `memo` by names, sizes and modification times, so that only the first call reads the files.
    """
    listing = hashlib.sha256(str(folder).encode())
    names = [path.relative_to(folder).as_posix() for path in files]
    for path, name in zip(files, names, strict=True):
        status = path.stat()
        listing.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    note = memo / "fingerprints" / listing.hexdigest()
    if note.exists():
        return note.read_text()
    content = hashlib.sha256()
    for path, name in zip(files, names, strict=True):
        with path.open("rb") as file:
            content.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False) as temporary:
            temporary.write(content.hexdigest())
        os.replace(temporary.name, note)
    except OSError as error:  # the note only saves time
        log.info("fingerprint is not remembered: %s", error)
    return content.hexdigest()


def checksum(path: Path) -> str:
    """Length and sha256 of a file: of all its bytes up to 64 MiB, of 256 evenly spread blocks beyond."""
    length = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if length <= FULL_CHECK_BYTES:
            digest.update(file.read())
        else:
            for start in np.linspace(0, length - BLOCK_BYTES, 256).astype(np.int64):
                file.seek(int(start))
                digest.update(file.read(BLOCK_BYTES))
    return f"{length}:{digest.hexdigest()}"


@dataclass(frozen=True)
class Decoded:
    """A decoded split: `images` uint8 [n, 3, S, S], memory-mapped and read-only; `labels` int64 [n]."""

    images: Pixels
    labels: Labels


class Cache:
    """One folder of decoded splits, safe for any number of processes that start at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str, size: int) -> Path:
        """Where the split with this content lies when decoded at this size."""
        key = hashlib.sha256(f"{FORMAT}/{digest}/{size}".encode()).hexdigest()
        return self.folder / "decoded" / key[:32]

    def open(self, digest: str, size: int, read: Callable[[], Images]) -> Decoded:
        """The decoded split, decoded now if it is not there; an entry that fails its checksum is rebuilt.

        Raises ConfigError when the folder cannot be written.
        """
        entry = self.path(digest, size)
        if _intact(entry):
            return _mapped(entry)
        lock = FileLock(entry.with_suffix(".lock"))
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise ConfigError(
                [f"data.cache: cannot write {self.folder} ({error}); set data.cache or HJEPA_CACHE"]
            ) from (error)
        try:
            if not _intact(entry):  # nobody else built it while we waited
                _set_aside(entry)
                _build(entry, read())
        finally:
            lock.release()
        return _mapped(entry)


def _mapped(entry: Path) -> Decoded:
    return Decoded(np.asarray(np.load(entry / "images.npy", mmap_mode="r")), np.load(entry / "labels.npy"))


def _intact(entry: Path) -> bool:
    try:
        sums = json.loads((entry / "checksums.json").read_text())
        return bool(sums == _checksums(entry))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return False


def _checksums(entry: Path) -> dict[str, str]:
    return {name: checksum(entry / name) for name in ("images.npy", "labels.npy")}


def _set_aside(entry: Path) -> None:
    if entry.exists():
        aside = entry.with_suffix(".corrupt")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(entry, aside)
        log.warning("decoded images in %s are damaged: moved to %s and decoded again", entry, aside.name)


def _build(entry: Path, images: Images) -> None:
    """Decode into a folder beside the entry, then rename it into place; the caller holds the entry's lock."""
    partial = entry.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    count = len(images.labels)
    array = np.lib.format.open_memmap(
        partial / "images.npy", mode="w+", dtype=np.uint8, shape=(count, 3, images.size, images.size)
    )
    # Pillow releases the GIL while it decodes.
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, count, DECODE_CHUNK):
            chunk = range(start, min(start + DECODE_CHUNK, count))
            for index, pixels in zip(chunk, pool.map(images.pixels, chunk), strict=True):
                array[index] = pixels
    array.flush()
    np.save(partial / "labels.npy", images.labels)
    (partial / "checksums.json").write_text(json.dumps(_checksums(partial)))
    os.replace(partial, entry)
