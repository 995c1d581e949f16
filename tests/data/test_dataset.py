"""Cache and stream give the same pixels in the asked order; the fingerprint names content, not its treatment."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hjepa.config import DataConfig
from hjepa.data import absolute, fingerprint, open_dataset
from tests.data.shapes_folder import make_shapes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_shapes(folder)
    return folder


def shapes(root: Path, **options: object) -> DataConfig:
    """The small image folder."""
    return DataConfig.model_validate(
        {"dataset": "imagefolder", "folder": "shapes", "image_size": 12, "root": str(root), **options}
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")  # on a machine of one core
@pytest.mark.parametrize("workers", [0, 2])
def test_stream_equals_cache_bit_for_bit(root: Path, workers: int) -> None:
    cached = open_dataset(shapes(root, loading="cache"))
    streamed = open_dataset(shapes(root, loading="stream", workers=workers))
    orders = [np.random.default_rng(seed).permutation(len(cached.train))[:17] for seed in range(4)]
    state = torch.random.get_rng_state()
    for part in ("train", "fit", "holdout"):
        ours, theirs = getattr(cached, part), getattr(streamed, part)
        lists = [order[order < len(ours)] for order in orders]
        pairs = zip(ours.batches(lists), theirs.batches(lists), lists, strict=True)
        assert all(torch.equal(a, b) and a.shape == (len(index), 3, 12, 12) for a, b, index in pairs)
        assert np.array_equal(ours.labels, theirs.labels)
    assert torch.equal(torch.random.get_rng_state(), state)  # no global random numbers were spent
    assert cached.fingerprint == streamed.fingerprint


def test_digits_need_no_files() -> None:
    data = open_dataset(DataConfig())
    assert (data.name, data.num_classes) == ("digits", 10)
    assert (len(data.train), len(data.fit), len(data.holdout), len(data.test())) == (1293, 1293, 144, 360)
    (batch,) = data.train.batches([np.array([5, 1, 5])])
    assert batch.dtype == torch.uint8 and torch.equal(batch[0], batch[2])


def test_parts_do_not_overlap() -> None:
    data = open_dataset(DataConfig())
    seen = set()
    for part in (data.train, data.holdout, data.test()):
        (images,) = part.batches([np.arange(len(part))])
        unique = {image.numpy().tobytes() for image in images}
        assert not seen & unique
        seen |= unique


def test_the_fingerprint_is_of_the_content_at_the_stored_size(root: Path, tmp_path: Path) -> None:
    first = fingerprint(shapes(root))
    shutil.copytree(root / "shapes", tmp_path / "shapes")
    assert fingerprint(shapes(tmp_path)) == first
    same = [shapes(root, loading="stream"), shapes(root, holdout=0.3), shapes(root, train_size=20)]
    assert {fingerprint(config) for config in same} == {first}
    assert open_dataset(same[2]).fingerprint == first
    other = [shapes(root, image_size=13), shapes(root, folder="shapes_b"), DataConfig()]
    assert len({first, *(fingerprint(config) for config in other)}) == 4


def test_the_test_split_is_not_touched_until_asked_for(tmp_path: Path) -> None:
    make_shapes(tmp_path)
    data = open_dataset(shapes(tmp_path, cache=str(tmp_path / "cache")))
    assert len([entry for entry in (tmp_path / "cache" / "decoded").iterdir() if entry.is_dir()]) == 1
    assert len(data.test()) == 30
    assert len([entry for entry in (tmp_path / "cache" / "decoded").iterdir() if entry.is_dir()]) == 2


def test_the_root_may_be_read_only_and_comes_from_the_environment(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HJEPA_DATA", str(root))
    before = sorted(root.rglob("*"))
    open_dataset(shapes(root, cache=str(tmp_path)).model_copy(update={"root": None}))
    assert sorted(root.rglob("*")) == before


def test_relative_paths_can_be_pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    pinned = absolute(shapes(Path("data"), cache="cache"))
    assert (pinned.root, pinned.cache) == (str(tmp_path / "data"), str(tmp_path / "cache"))
    assert absolute(DataConfig()) == DataConfig()


@pytest.mark.realdata
def test_real_cifar10(real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "cifar-10-batches-py").is_dir():
        pytest.skip("HJEPA_DATA has no CIFAR-10")
    config = DataConfig(dataset="cifar10", root=str(real_data), cache=str(tmp_path))
    data = open_dataset(config)
    assert (len(data.train), len(data.holdout)) == (45000, 5000)
    assert np.bincount(data.holdout.labels).tolist() == [500] * 10
    with (real_data / "cifar-10-batches-py" / "data_batch_1").open("rb") as file:
        first = pickle.load(file, encoding="latin1")["data"][0].reshape(3, 32, 32)  # noqa: S301 - the set's format
    (images,) = data.train.batches([np.arange(len(data.train))])
    (held,) = data.holdout.batches([np.arange(len(data.holdout))])
    assert sum(bool((part == torch.from_numpy(first)).flatten(1).all(1).any()) for part in (images, held)) == 1
    assert fingerprint(config) == data.fingerprint
