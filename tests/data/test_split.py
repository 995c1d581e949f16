"""The hold-out is stratified, apart from training, and moved by the split seed alone.

train_size takes nested, stratified prefixes.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hjepa.config import DataConfig
from hjepa.data.split import split, stratified_order
from hjepa.overrides import ConfigError

LABELS = np.repeat(np.arange(4), [200, 100, 60, 40]).astype(np.int64)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 5))
def test_every_prefix_has_the_class_shares_of_the_whole(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    order = stratified_order(labels, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(labels)))
    for end in range(1, len(labels) + 1):
        got = np.bincount(labels[order[:end]], minlength=len(counts))
        assert np.abs(got - end * np.array(counts) / len(labels)).max() <= len(counts) / 2 + 1


def test_holdout_is_a_stratified_tenth_apart_from_training() -> None:
    parts = split(LABELS, DataConfig())
    assert np.bincount(LABELS[parts.holdout]).tolist() == [20, 10, 6, 4]
    assert not set(parts.holdout) & set(parts.train)
    assert len(parts.holdout) + len(parts.train) == len(LABELS)
    assert np.array_equal(parts.fit, parts.train)


def test_holdout_moves_with_the_split_seed_and_not_with_train_size() -> None:
    first, again, other = (split(LABELS, DataConfig(split_seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first.holdout, again.holdout)
    assert set(first.holdout) != set(other.holdout)
    assert np.array_equal(first.holdout, split(LABELS, DataConfig(train_size=50)).holdout)


def test_train_size_is_nested_and_stratified() -> None:
    small, large = (split(LABELS, DataConfig(train_size=size)).train for size in (100, 200))
    assert set(small) < set(large)
    assert np.abs(np.bincount(LABELS[small]) - np.array([50, 25, 15, 10])).max() <= 1


@pytest.mark.parametrize(("which", "train", "fit"), [("both", 360 + 500, 360), ("unlabelled", 500, 360)])
def test_images_without_a_label_are_pretrained_on_and_never_probed(which: str, train: int, fit: int) -> None:
    labels = np.concatenate([LABELS, np.full(500, -1)])
    parts = split(labels, DataConfig(dataset="stl10", stl10=which))  # type: ignore[arg-type]
    assert (len(parts.train), len(parts.fit), len(parts.holdout)) == (train, fit, 40)
    assert (labels[parts.fit] >= 0).all() and (labels[parts.holdout] >= 0).all()
    assert not set(parts.holdout) & (set(parts.train) | set(parts.fit))
    assert (labels[parts.train] < 0).sum() == 500


def test_too_large_a_train_size_names_path_value_and_limit() -> None:
    with pytest.raises(ConfigError, match=r"^data\.train_size: got 361; allowed at most 360 ") as caught:
        split(LABELS, DataConfig(train_size=361))
    assert len(str(caught.value).splitlines()) == 1


def test_a_holdout_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^data\.holdout: got 0\.01; allowed "):
        split(LABELS[:10], DataConfig(holdout=0.01))
