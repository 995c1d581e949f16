"""The probe finds what is linear and nothing else, ignores the scale, and chooses C without the scored images."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from hjepa.evaluation import regression
from hjepa.evaluation.linear import C_GRID, Labelled, few_label_probe, linear_probe
from hjepa.evaluation.regression import Regressions


def clusters(count: int, width: int = 24, classes: int = 4, spread: float = 2.0, seed: int = 0) -> Labelled:
    """Overlapping classes with ill-conditioned features."""
    stream = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    labels = stream.integers(0, classes, count)
    x = centres[labels] + spread * stream.normal(size=(count, width))
    return (x * np.logspace(0, -3, width) + 5).astype(np.float32), labels


def test_one_hot_features_give_everything() -> None:
    labels = np.arange(200) % 5
    one_hot = np.eye(5, dtype=np.float32)[labels]
    assert linear_probe((one_hot, labels), (one_hot[:50], labels[:50]), 5).top1 == 1


def test_random_labels_give_chance() -> None:
    stream = np.random.default_rng(0)
    features = stream.normal(size=(2000, 16)).astype(np.float32)
    labels = stream.integers(0, 4, 2000)
    score = linear_probe((features[:1000], labels[:1000]), (features[1000:], labels[1000:]), 4)
    assert score.top1 == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scale_and_shift_of_features_do_not_matter(factor: float) -> None:
    train, scored = clusters(400), clusters(200, seed=1)
    plain = linear_probe(train, scored, 4)
    scaled = linear_probe((train[0] * np.float32(factor), train[1]), (scored[0] * np.float32(factor), scored[1]), 4)
    assert (scaled.top1, scaled.c) == (pytest.approx(plain.top1, abs=0.011), plain.c)


def test_constant_features_are_ignored() -> None:
    train, scored = clusters(400), clusters(200, seed=1)

    def widened(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, np.full((len(x), 2), 0.1, np.float32)], 1)

    plain = linear_probe(train, scored, 4)
    wide = linear_probe((widened(train[0]), train[1]), (widened(scored[0]), scored[1]), 4)
    assert wide.top1 == pytest.approx(plain.top1, abs=0.011)


@pytest.mark.parametrize("rows", [300, 16])
@pytest.mark.parametrize("c", [1e-3, 1e-1, 10.0])
def test_minimum_is_that_of_scikit_learn(c: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "TOLERANCE", 1e-7)
    features, labels = clusters(rows)
    features = (features - features.mean(0)) / features.std(0)
    reference = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(features.astype(np.float64), labels)
    fitted = Regressions(torch.from_numpy(features)[None], torch.from_numpy(labels)[None], 4).fit(c)
    assert fitted.converged
    ours = fitted.logits(torch.from_numpy(features)).softmax(2)[0].numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(features.astype(np.float64)), atol=1e-4)


def test_problems_solved_together_are_independent() -> None:
    together = [clusters(40, seed=seed) for seed in range(3)]
    features = torch.from_numpy(np.stack([x for x, _ in together]))
    labels = torch.from_numpy(np.stack([y for _, y in together]))
    rows = torch.arange(40).expand(3, 40) % 4 != 0
    batch = Regressions(features, labels, 4, rows).fit(torch.tensor([0.01, 0.1, 1.0]))
    for index, c in enumerate([0.01, 0.1, 1.0]):
        kept = rows[index]
        alone = Regressions(features[index, kept][None], labels[index, kept][None], 4).fit(c)
        ours, theirs = (part.logits(features[index]).softmax(2) for part in (batch, alone))
        torch.testing.assert_close(ours[index], theirs[0], atol=0.02, rtol=0)


def test_c_is_chosen_without_the_scored_images() -> None:
    train, scored = clusters(400), clusters(200, seed=1)
    plain = linear_probe(train, scored, 4)
    shuffled = np.random.default_rng(0).permutation(scored[1])
    foreign = linear_probe(train, (scored[0] * 0 - 3, shuffled), 4)
    assert foreign.c == plain.c and foreign.top1 != plain.top1


def test_c_follows_the_training_data() -> None:
    stream = np.random.default_rng(0)
    features = stream.normal(size=(300, 100)).astype(np.float32)
    noisy = np.where(stream.random(300) < 0.7, features[:, 0] > 0, stream.random(300) < 0.5).astype(np.int64)
    clean = (features @ stream.normal(size=100) > 0).astype(np.int64)
    assert (
        linear_probe((features, noisy), (features, noisy), 2).c
        < linear_probe((features, clean), (features, clean), 2).c
    )


def test_thread_count_does_not_move_a_small_probe() -> None:
    train, scored = clusters(400), clusters(200, seed=1)
    scores = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        scores.append(linear_probe(train, scored, 4))
        assert torch.get_num_threads() == threads
    assert scores[0] == scores[1]


def draws_of(per_class: int, count: int) -> list[Labelled]:
    features, labels = clusters(400)
    stream = np.random.default_rng(0)
    picks = [
        np.concatenate([stream.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in range(4)])
        for _ in range(count)
    ]
    return [(features[pick], labels[pick]) for pick in picks]


def test_few_labels_score_is_the_mean_over_draws() -> None:
    scored = clusters(500, seed=1)
    draws = draws_of(5, 6)
    together = few_label_probe(draws, scored, 4)
    each = [few_label_probe([draw], scored, 4) for draw in draws]
    assert together.converged and together.std > 0
    assert each[0].std == 0 and all(score.c in [pytest.approx(c) for c in C_GRID] for score in each)
    assert together.top1 == pytest.approx(np.mean([score.top1 for score in each]), abs=0.02)
    assert together.std == pytest.approx(np.std([score.top1 for score in each], ddof=1), abs=0.02)


def test_few_labels_lie_between_chance_and_all_labels() -> None:
    scored = clusters(500, seed=1)
    few = few_label_probe(draws_of(5, 5), scored, 4).top1
    assert 0.3 < few < linear_probe(clusters(400), scored, 4).top1


def test_two_labels_a_class_and_uneven_folds_work() -> None:
    scored = clusters(100, seed=1)
    assert few_label_probe(draws_of(2, 3), scored, 4).converged
    assert few_label_probe(draws_of(7, 3), scored, 4).converged
