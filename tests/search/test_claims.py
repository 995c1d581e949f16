"""Claims are judged by the interval alone, and the number of further seeds is the fewest that decides."""

import numpy as np
import pytest

from hjepa.search.ablation.claims import Claim, judge, more_seeds, verdict
from hjepa.search.ablation.effects import effect
from hjepa.search.ablation.power import half_width

CLAIM = Claim("layer_scale", 0.5, 1.0, "roadmap")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-2.0, -1.0, "contradicted"),
        (-1.0, 0.0, "contradicted"),
        (-1.0, 0.4, "smaller than claimed"),
        (0.1, 0.4, "smaller than claimed"),
        (0.1, 0.5, "supported"),
        (0.6, 3.0, "supported"),
        (2.0, 3.0, "supported"),
        (0.0, 0.7, "inconclusive"),
        (-0.1, 0.5, "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, expected: str) -> None:
    assert verdict(low, high, 0.5) == expected


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.2, 0.5, 0.9])
def test_the_seeds_that_decide_are_the_fewest(mean: float) -> None:
    more = more_seeds(0.5, mean, 1.0, 4)
    assert more is not None and more > 0

    def at(seeds: int) -> str:
        return verdict(mean - half_width(1.0, seeds), mean + half_width(1.0, seeds), 0.5)

    assert at(4 + more) != "inconclusive" and at(4 + more - 1) == "inconclusive"
    assert more_seeds(1e-9, 0.0, 1.0, 4) is None


def test_a_judgement_in_words() -> None:
    noise = np.random.default_rng(0).standard_normal(5)
    noise -= noise.mean()
    zeros = dict.fromkeys(range(5), 0.0)
    strong = judge(CLAIM, effect("x", dict(enumerate(0.9 + 0.1 * noise)), zeros))
    assert (strong.verdict, strong.more_seeds, strong.words) == ("supported", None, "supported")
    weak = judge(CLAIM, effect("x", dict(enumerate(0.9 + 2 * noise)), zeros))
    assert weak.verdict == "inconclusive" and f"{weak.more_seeds} more seed" in weak.words


def test_one_seed_is_inconclusive_and_says_why() -> None:
    found = judge(CLAIM, effect("x", {0: 9.0}, {0: 0.0}))
    assert found.verdict == "inconclusive" and found.more_seeds is None and "one seed" in found.words


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_a_claim_that_cannot_fail_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"claims\.x"):
        Claim("x", *limits, "nobody")
