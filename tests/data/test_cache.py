"""A split is decoded once by however many processes start together, and damage is found and repaired."""

import logging
import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from hjepa.config import DataConfig
from hjepa.data.cache import Cache, cache_folder, checksum, files_digest
from hjepa.data.images import FileImages, Images, Pixels
from hjepa.overrides import ConfigError
from tests.data.shapes_folder import make_shapes

PROCESSES = 6


class Counted:
    """File images that leave one byte in a log for each image decoded."""

    def __init__(self, images: Images, log: Path) -> None:
        self.labels, self.size, self._images, self._log = images.labels, images.size, images, log

    def pixels(self, index: int) -> Pixels:
        """One image, counted."""
        with self._log.open("ab") as file:
            file.write(b".")
        return self._images.pixels(index)


@pytest.fixture
def images(tmp_path: Path) -> Counted:
    make_shapes(tmp_path)
    names = np.array(sorted(str(path).encode() for path in (tmp_path / "shapes" / "train").rglob("*.png")))
    return Counted(FileImages(tmp_path, names, np.arange(len(names), dtype=np.int64), 16), tmp_path / "decoded.log")


def _open_together(folder: Path, images: Counted, barrier: Barrier) -> None:
    barrier.wait()
    decoded = Cache(folder).open("content", 16, lambda: images)
    os._exit(0 if np.array_equal(decoded.images[3], images.pixels(3)) else 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the children only decode
def test_processes_that_start_together_decode_once(tmp_path: Path, images: Counted) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES)
    folder = tmp_path / "cache"
    children = [context.Process(target=_open_together, args=(folder, images, barrier)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * PROCESSES
    assert (tmp_path / "decoded.log").stat().st_size == len(images.labels) + PROCESSES  # each compared one image
    assert not list(folder.rglob("*.partial"))


def test_what_is_read_back_is_what_was_decoded_and_cannot_be_written(tmp_path: Path, images: Counted) -> None:
    decoded = Cache(tmp_path / "cache").open("content", 16, lambda: images)
    expected = np.stack([images.pixels(index) for index in range(len(images.labels))])
    assert np.array_equal(decoded.images, expected) and np.array_equal(decoded.labels, images.labels)
    with pytest.raises(ValueError, match="read-only"):
        decoded.images[0] = 0


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_entry_is_set_aside_and_rebuilt(
    tmp_path: Path, images: Counted, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path / "cache")
    expected = cache.open("content", 16, lambda: images).images.copy()
    path = cache.path("content", 16) / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-5])
    with caplog.at_level(logging.WARNING, logger="hjepa.data.cache"):
        again = cache.open("content", 16, lambda: images)
    assert np.array_equal(again.images, expected)
    assert len(caplog.records) == 1 and "damaged" in caplog.text
    assert cache.path("content", 16).with_suffix(".corrupt").is_dir()


def test_an_interrupted_build_leaves_nothing_that_is_opened(tmp_path: Path, images: Counted) -> None:
    cache = Cache(tmp_path / "cache")

    def stop() -> Images:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.open("content", 16, stop)
    partial = cache.path("content", 16).with_suffix(".partial")
    partial.mkdir()
    (partial / "images.npy").write_bytes(b"half")
    assert len(cache.open("content", 16, lambda: images).images) == len(images.labels)


def test_a_large_file_is_checked_by_length_and_spread_blocks(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    before = checksum(path)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert checksum(path) != before


def test_the_digest_follows_names_and_bytes_and_is_remembered(tmp_path: Path) -> None:
    make_shapes(tmp_path)
    folder, memo = tmp_path / "shapes", tmp_path / "memo"
    files = sorted(folder.rglob("*.png"))
    digest = files_digest(files, folder, memo)
    assert files_digest(files, folder, tmp_path / "other memo") == digest
    assert files_digest(files[1:], folder, memo) != digest
    (note,) = (path for path in (memo / "fingerprints").iterdir() if path.read_text() == digest)
    note.write_text("remembered")
    assert files_digest(files, folder, memo) == "remembered"
    files[0].write_bytes(files[1].read_bytes())
    assert files_digest(files, folder, memo) not in (digest, "remembered")


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, images: Counted) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^data\.cache: cannot write .*; set data\.cache or HJEPA_CACHE$"):
        Cache(tmp_path / "file" / "cache").open("content", 16, lambda: images)


def test_the_folder_is_the_configured_one_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HJEPA_CACHE", str(tmp_path / "environment"))
    assert cache_folder(DataConfig(cache=str(tmp_path / "configured"))) == tmp_path / "configured"
    assert cache_folder(DataConfig()) == tmp_path / "environment"
    monkeypatch.delenv("HJEPA_CACHE")
    assert cache_folder(DataConfig()).is_absolute()
