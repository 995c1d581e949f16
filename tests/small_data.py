"""Small copies of every data set's files, in a folder that stands for the data root."""

from pathlib import Path

import pytest
from torchvision import datasets

from tests.data.archives import make_cifar10, make_cifar100, make_stl10
from tests.data.shapes_folder import make_shapes


def lay_out(folder: Path) -> None:
    """Write `data`, and `elsewhere` with links to the same archives."""
    for name in ("data", "elsewhere"):
        make_shapes(folder / name)
        (folder / name / "classes.txt").write_text("square\ntriangle\n")
        (folder / name / "two_classes.txt").write_text("circle\nsquare\n")
    make_cifar10(folder / "data", per_batch=40)
    make_cifar100(folder / "data", count=1500)
    make_stl10(folder / "data", labelled=150)
    for name in ("cifar-10-batches-py", "cifar-100-python", "stl10_binary"):
        (folder / "elsewhere" / name).symlink_to(folder / "data" / name)


def use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make this folder the working directory, its `data` the data root and its `cache` the cache."""
    for module in (datasets.cifar, datasets.stl10):  # small files for the published ones
        patch.setattr(module, "check_integrity", lambda path, _md5=None: Path(path).exists())
    patch.chdir(folder)
    patch.setenv("HJEPA_DATA", str(folder / "data"))
    patch.setenv("HJEPA_CACHE", str(folder / "cache"))
