"""Halving keeps the best share at each rung, never judges a rung with few trials, and stops a missing score at once."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hjepa.search.halving import Halving


def halving(milestones: tuple[int, ...] = (1, 3), epochs: int = 9, min_trials: int = 1) -> Halving:
    return Halving(milestones, epochs=epochs, reduction=3, min_trials=min_trials)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("epoch", [1, 2, 9])
def test_a_score_that_is_not_finite_stops_the_trial_wherever_it_is(value: float | None, epoch: int) -> None:
    assert "no finite score" in (halving(min_trials=99).observe("a", epoch, value) or "")


def test_nothing_is_stopped_before_the_rung_holds_enough_trials() -> None:
    rungs = halving(min_trials=4)
    assert [rungs.observe(name, 1, value) for name, value in [("a", 0.9), ("b", 0.1), ("c", 0.2)]] == [None] * 3
    reason = rungs.observe("d", 1, 0.15)
    assert reason is not None
    assert "0.1500 at epoch 1" in reason
    assert "4 trials" in reason


def test_the_best_share_goes_on_and_ties_pass() -> None:
    rungs = halving()
    for number in range(9):
        rungs.replay(f"t{number}", {1: number / 10})
    assert rungs.observe("low", 1, 0.2) is not None
    assert rungs.observe("high", 1, 0.85) is None
    same = halving()
    assert [same.observe(name, 1, 0.5) for name in "abcd"] == [None] * 4


def test_a_trial_is_judged_once_a_rung_and_never_at_full_budget() -> None:
    rungs = halving()
    for number in range(6):
        rungs.replay(f"t{number}", {1: 0.9, 3: 0.9})
    assert rungs.observe("a", 1, 0.95) is None
    assert rungs.observe("a", 2, 0.0) is None, "between rungs, its first rung is behind it"
    assert rungs.observe("a", 3, 0.0) is not None
    assert rungs.observe("b", 9, 0.0) is None


def test_a_late_first_report_counts_at_the_highest_rung_reached() -> None:
    rungs = halving()
    rungs.replay("a", {5: 0.9})
    rungs.replay("b", {5: 0.8})
    assert rungs.observe("c", 4, 0.1) is not None
    assert rungs.observe("d", 1, 0.1) is None, "the lower rung is still empty"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms())
def test_replaying_in_any_order_within_a_rung_gives_one_verdict(values: list[float], order: random.Random) -> None:
    shuffled = list(enumerate(values))
    order.shuffle(shuffled)
    straight, mixed = halving(), halving()
    for number, value in enumerate(values):
        straight.replay(str(number), {1: value})
    for number, value in shuffled:
        mixed.replay(str(number), {1: value})
    assert straight.observe("new", 1, 0.5) == mixed.observe("new", 1, 0.5)
