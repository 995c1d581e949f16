"""The data sets by name, and where their files lie."""

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hjepa.config import DataConfig
from hjepa.data.archives import find_archive
from hjepa.data.entry import Entry, RawSplit
from hjepa.data.folders import find_folder, find_imagenet100
from hjepa.data.images import ArrayImages, Images
from hjepa.data.split import stratified_order
from hjepa.runtime.streams import numpy_generator

DIGITS_TEST_IMAGES = 360


def data_root(config: DataConfig) -> Path | None:
    """`data.root`, else HJEPA_DATA, absolute; None when neither is set."""
    named = config.root or os.environ.get("HJEPA_DATA")
    return Path(named).expanduser().absolute() if named else None


def find(config: DataConfig) -> Entry:
    """The configured data set, which is no mixture. Raises ConfigError, one line, when its files are not there."""
    finder = FINDERS[config.dataset]
    return finder(config, data_root(config) if config.dataset != "digits" else None)


@functools.cache
def _digits() -> tuple[ArrayImages, ArrayImages]:
    """Train and test of scikit-learn's 1,797 handwritten digits, uint8 [n, 3, 8, 8]; a fixed stratified split."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - it takes seconds to load

    bunch = load_digits()
    grey = np.round(bunch.images * (255.0 / 16.0)).astype(np.uint8)
    pixels = np.ascontiguousarray(np.repeat(grey[:, None], 3, axis=1))
    labels = bunch.target.astype(np.int64)
    order = stratified_order(labels, numpy_generator(0, "digits.test"))
    test, train = np.sort(order[:DIGITS_TEST_IMAGES]), np.sort(order[DIGITS_TEST_IMAGES:])
    return ArrayImages(pixels[train], labels[train], 8), ArrayImages(pixels[test], labels[test], 8)


def _find_digits(config: DataConfig, _root: Path | None) -> Entry:
    size = config.image_size or 8

    def raw(part: int) -> RawSplit:
        def digest(_memo: Path) -> str:
            images = _digits()[part]
            return hashlib.sha256(images.array.tobytes() + images.labels.tobytes()).hexdigest()

        def read() -> Images:
            return replace(_digits()[part], size=size)

        return RawSplit(lambda: len(_digits()[part].labels), digest, read)

    return Entry("digits", 10, size, raw(0), raw(1))


FINDERS: dict[str, Callable[[DataConfig, Path | None], Entry]] = {
    "digits": _find_digits,
    "cifar10": find_archive,
    "cifar100": find_archive,
    "stl10": find_archive,
    "imagefolder": find_folder,
    "imagenet100": find_imagenet100,
}
