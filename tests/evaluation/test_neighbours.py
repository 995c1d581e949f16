"""k-NN: duplicates are always right, votes are weighted by cosine, and too large a k is refused."""

import numpy as np
import pytest

from hjepa.evaluation import neighbours
from hjepa.evaluation.neighbours import knn_accuracy
from hjepa.overrides import ConfigError


def sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    return stream.normal(size=(count, 8)).astype(np.float32), stream.integers(0, 3, count)


def test_duplicates_give_everything_at_one_neighbour() -> None:
    bank = sample(100)
    assert knn_accuracy(bank, bank, 3, 1, 0.07) == 1
    assert knn_accuracy(bank, bank, 3, 20, 0.01) == 1  # the duplicate outweighs all others


def test_random_labels_give_chance() -> None:
    assert knn_accuracy(sample(1000), sample(1000, 1), 3, 20, 0.07) == pytest.approx(1 / 3, abs=0.06)


@pytest.mark.parametrize("k", [1, 7, 20])
def test_equals_the_definition(k: int) -> None:
    bank, scored = sample(60), sample(40, 1)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank[0], scored[0])]
    right = 0
    for query, truth in zip(unit[1], scored[1], strict=True):
        cosine = unit[0] @ query
        nearest = np.argsort(-cosine)[:k]
        votes = np.zeros(3)
        np.add.at(votes, bank[1][nearest], np.exp(cosine[nearest] / 0.07))
        right += votes.argmax() == truth
    assert knn_accuracy(bank, scored, 3, k, 0.07) == right / 40


def test_chunks_and_scale_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, scored = sample(60), sample(40, 1)
    whole = knn_accuracy(bank, scored, 3, 5, 0.07)
    assert knn_accuracy((1000 * bank[0], bank[1]), scored, 3, 5, 0.07) == whole
    monkeypatch.setattr(neighbours, "CHUNK_ENTRIES", 7 * 60)
    assert knn_accuracy(bank, scored, 3, 5, 0.07) == whole


def test_tiny_temperature_stays_finite() -> None:
    bank = sample(60)
    assert knn_accuracy(bank, bank, 3, 5, 1e-4) == 1


def test_more_neighbours_than_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^evaluation.knn_k: got 21; allowed 1 to 20 [^\n]*$"):
        knn_accuracy(sample(20), sample(5), 3, 21, 0.07)
