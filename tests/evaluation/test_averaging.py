"""Claims (method G.6): a soup of identical weights is those weights; of two, their midpoint; a greedy soup
scores at least as well as its best ingredient, and admits nothing that lowers the score."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from hjepa.evaluation import greedy_soup, uniform_soup


def weights(seed: int) -> dict[str, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return {
        "map": torch.randn(6, 5, generator=stream),
        "half": torch.randn(4, generator=stream).bfloat16(),
        "count": torch.tensor(seed),
    }


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_identical_weights_stay_as_they_are(count: int) -> None:
    soup = uniform_soup([weights(0)] * count)
    assert all(torch.equal(value, weights(0)[name]) for name, value in soup.items())


def test_two_make_their_midpoint() -> None:
    one, two = weights(0), weights(1)
    soup = uniform_soup([one, two])
    assert torch.equal(soup["map"], ((one["map"].double() + two["map"].double()) / 2).float())
    assert soup["half"].dtype == torch.bfloat16
    assert soup["count"] == one["count"], "whole numbers are the first's"
    soup["count"] += 1
    assert one["count"] == 0, "and a copy"


class Score:
    """Minus the distance to a goal."""

    def __init__(self, goal: Tensor) -> None:
        self.goal = goal

    def __call__(self, given: Mapping[str, Tensor]) -> float:
        return -float((given["map"] - self.goal).norm())


@pytest.mark.parametrize("seed", range(8))
def test_a_greedy_soup_is_at_least_as_good_as_its_best(seed: int) -> None:
    ingredients = [weights(10 * seed + index) for index in range(5)]
    score = Score(0.3 * weights(99)["map"])
    soup, chosen = greedy_soup(ingredients, score)
    assert score(soup) >= max(map(score, ingredients))
    expected = uniform_soup([ingredients[index] for index in chosen])
    assert all(torch.equal(value, soup[name]) for name, value in expected.items())
    assert max(range(5), key=lambda index: score(ingredients[index])) in chosen


def test_what_lowers_the_score_stays_out() -> None:
    near, far = {"map": torch.ones(3)}, {"map": torch.full((3,), 50.0)}
    soup, chosen = greedy_soup([far, near, near], Score(torch.ones(3)))
    assert chosen == [1, 2] and torch.equal(soup["map"], near["map"])


def test_of_equals_the_latest_comes_first() -> None:
    _, chosen = greedy_soup([{"map": torch.zeros(1)}, {"map": torch.ones(1)}], lambda each: -float(each["map"] == 0.5))
    assert chosen == [1]
