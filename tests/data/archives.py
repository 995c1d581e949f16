"""Small files in the true binary formats of CIFAR and STL-10."""

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt


def make_cifar10(root: Path, per_batch: int = 20) -> npt.NDArray[np.uint8]:
    """Five training batches and a test batch of random images; returns the training pixels [n, 3, 32, 32]."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 256, (per_batch, 3072), dtype=np.uint8) for _ in range(6)]
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for name, data in zip(names, rows, strict=True):
        _write(folder / name, {"data": data, "labels": [index % 10 for index in range(per_batch)]})
    _write(folder / "batches.meta", {"label_names": [str(label) for label in range(10)]})
    return np.concatenate(rows[:5]).reshape(-1, 3, 32, 32)


def make_cifar100(root: Path, count: int = 300) -> npt.NDArray[np.uint8]:
    """A training and a test file of random images; returns the training pixels [n, 3, 32, 32]."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows = {name: rng.integers(0, 256, (count, 3072), dtype=np.uint8) for name in ("train", "test")}
    for name, data in rows.items():
        _write(folder / name, {"data": data, "fine_labels": [index % 100 for index in range(count)]})
    _write(folder / "meta", {"fine_label_names": [str(label) for label in range(100)]})
    return rows["train"].reshape(-1, 3, 32, 32)


def make_stl10(root: Path, labelled: int = 40, unlabelled: int = 30) -> npt.NDArray[np.uint8]:
    """Labelled, unlabelled and test files; returns labelled, then unlabelled pixels [n, 3, 96, 96].

    The format is column-major, channels first, labels from 1.
    """
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (labelled + unlabelled, 3, 96, 96), dtype=np.uint8)
    columns = pixels.transpose(0, 1, 3, 2)
    labels = (np.arange(labelled) % 10 + 1).astype(np.uint8)
    columns[:labelled].tofile(folder / "train_X.bin")
    columns[labelled:].tofile(folder / "unlabeled_X.bin")
    columns[:20].tofile(folder / "test_X.bin")
    labels.tofile(folder / "train_y.bin")
    labels[:20].tofile(folder / "test_y.bin")
    return pixels


def _write(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))
