"""Whatever its form, an image becomes square RGB uint8 pixels, and stays bit-equal where nothing needs doing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hjepa.data.images import ArrayImages, FileImages, square

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_a_square_image_of_the_stored_size_is_untouched() -> None:
    assert np.array_equal(square(Image.fromarray(PIXELS), 8), PIXELS.transpose(2, 0, 1))


def test_a_long_image_gives_its_centre() -> None:
    long = np.zeros((8, 24, 3), dtype=np.uint8)
    long[:, 8:16] = PIXELS
    assert np.array_equal(square(Image.fromarray(long), 8), PIXELS.transpose(2, 0, 1))


def test_grey_and_transparent_images_become_rgb() -> None:
    for mode in ("L", "RGBA", "P"):
        assert square(Image.fromarray(PIXELS).convert(mode), 6).shape == (3, 6, 6)


def test_array_and_file_decode_alike(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    label = np.zeros(1, dtype=np.int64)
    for size in (8, 5, 12):
        array = ArrayImages(PIXELS.transpose(2, 0, 1)[None], label, size).pixels(0)
        assert np.array_equal(array, FileImages(tmp_path, np.array([b"image.png"]), label, size).pixels(0))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("no image")
    with pytest.raises(ValueError, match=r"note\.png: cannot be read as an image"):
        FileImages(tmp_path, np.array([b"note.png"]), np.zeros(1, dtype=np.int64), 8).pixels(0)
