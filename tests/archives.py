"""Small data sets in the true file format of CIFAR-10, CIFAR-100 and STL-10, which torchvision accepts."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision import datasets

TRAIN, TEST, UNLABELLED = 150, 40, 60


def make_archives(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Write the three data sets under `root`; `patch` has torchvision know their checksums."""
    for kind, key, classes in ((datasets.CIFAR10, "labels", 10), (datasets.CIFAR100, "fine_labels", 100)):
        _make_cifar(root / kind.base_folder, kind, key, classes)
        _know(root / kind.base_folder, kind, patch)
        names = (root / kind.base_folder / kind.meta["filename"]).read_bytes()
        patch.setattr(kind, "meta", kind.meta | {"md5": hashlib.md5(names).hexdigest()})  # noqa: S324 - torchvision's
    _make_stl10(root / datasets.STL10.base_folder)
    _know(root / datasets.STL10.base_folder, datasets.STL10, patch)


def _know(folder: Path, kind: Any, patch: pytest.MonkeyPatch) -> None:
    for name in ("train_list", "test_list"):
        files = [file for file, _ in getattr(kind, name)]
        sums = [[file, hashlib.md5((folder / file).read_bytes()).hexdigest()] for file in files]  # noqa: S324
        patch.setattr(kind, name, sums)


def _make_cifar(folder: Path, kind: Any, key: str, classes: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(classes)
    parts = [(name, TRAIN // len(kind.train_list)) for name, _ in kind.train_list]
    for name, count in [*parts, *[(name, TEST) for name, _ in kind.test_list]]:
        labels = (np.arange(count) % 10).tolist()  # ten of CIFAR-100's classes, so that each can be split
        content = {"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8), key: labels}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: [str(i) for i in range(classes)]}))


def _make_stl10(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for part, count in (("train", TRAIN), ("test", TEST), ("unlabeled", UNLABELLED)):
        rng.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8).tofile(folder / f"{part}_X.bin")
        if part != "unlabeled":
            (np.arange(count) % 10 + 1).astype(np.uint8).tofile(folder / f"{part}_y.bin")
    (folder / "class_names.txt").write_text("\n".join(map(str, range(10))))
