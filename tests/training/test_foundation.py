"""The foundation experiment trains on its mixture in exact proportions, resumes bit for bit, and is scored on CIFAR-10.

On small files in the true formats of the three data sets.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from hjepa.data.mixture import MixedImages, quotas
from hjepa.overrides import load_config
from hjepa.training import Silent, train
from tests.data.archives import make_cifar10, make_cifar100, make_stl10

FILE = Path(__file__).parents[2] / "experiments" / "foundation_cifar_stl.yaml"
#: The same mixture in a size for a test.
TINY = [
    "data.image_size=32",
    "data.epoch_images=80",
    "views.size=32",
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "model.patch_size=4",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "optim.batch_size=16",
    "runtime.micro_batch=8",
    "training.epochs=2",
    "runtime.device=cpu",
    "runtime.threads=1",
    "runtime.precision=fp32",
]


class Interrupted(Silent):
    """A reporter during whose first report the user presses Ctrl-C."""

    def report(self, _metrics: dict[str, Any], _checkpoint: Path | None) -> bool:
        raise KeyboardInterrupt


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The indices that training asks the mixture for, batch by batch."""
    make_cifar10(tmp_path / "data")
    make_cifar100(tmp_path / "data")
    make_stl10(tmp_path / "data")
    for module in (datasets.cifar, datasets.stl10):  # small files for the published ones
        monkeypatch.setattr(module, "check_integrity", lambda path, _md5=None: Path(path).exists())
    monkeypatch.setenv("HJEPA_DATA", str(tmp_path / "data"))
    asked: list[np.ndarray] = []
    batches = MixedImages.batches

    def recorded(self: MixedImages, index_lists: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        for index, images in zip(index_lists, batches(self, index_lists), strict=True):
            asked.append(index)
            yield images

    monkeypatch.setattr(MixedImages, "batches", recorded)
    return asked


def test_the_file_says_what_the_roadmap_says() -> None:
    config = load_config(FILE)
    assert quotas(config.data.epoch_images or 0, config.data.shares) == {
        "stl10": 25_000,
        "cifar100": 15_000,
        "cifar10": 10_000,
    }
    assert [config.grid >> level for level in range(config.hierarchy.levels)] == [14, 7, 3]
    assert config.level_weights == (1.0, 0.7, 0.5)


def test_it_trains_in_proportion_and_is_scored_on_cifar10(seen: list[np.ndarray], tmp_path: Path) -> None:
    result = train(load_config(FILE, TINY), tmp_path / "run", test=True)
    assert result["state"] == "completed" and {"probe.top1", "knn.top1"} <= set(result["metrics"])
    assert "test.probe.top1" in json.loads((tmp_path / "run" / "test.json").read_text())
    # After a tenth is held out: 90 images of CIFAR-10, 270 of CIFAR-100, 36 labelled and 30 others of STL-10.
    ends = np.cumsum([90, 270, 66])
    epochs = [np.concatenate(seen[start : start + 5]) for start in (0, 5)]
    assert len(seen) == 10
    for epoch in epochs:
        assert np.bincount(np.searchsorted(ends, epoch, side="right")).tolist() == [16, 24, 40]
        assert len(set(epoch.tolist())) == 80
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_resumed_run_is_the_whole_run(seen: list[np.ndarray], tmp_path: Path) -> None:
    config = load_config(FILE, TINY)
    whole = train(config, tmp_path / "whole")
    asked = [index.tolist() for index in seen]
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", reporter=Interrupted())
    resumed = train(config, tmp_path / "cut", resume=True)
    assert [index.tolist() for index in seen] == asked
    assert whole["score"] == resumed["score"] and whole["identity"] == resumed["identity"]
    ours, theirs = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["model"] for name in ("whole", "cut")
    )
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
