"""Halving keeps the best share at each rung, never judges a rung with few trials, and stops a missing score at once."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hjepa.search.stopping.halving import Halving, Promotion
from hjepa.search.stopping.rule import GO_ON


def halving(milestones: tuple[int, ...] = (1, 3), epochs: int = 9, min_trials: int = 1) -> Halving:
    return Halving(milestones, epochs=epochs, reduction=3, min_trials=min_trials)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("epoch", [1, 2, 9])
def test_a_score_that_is_not_finite_stops_the_trial_wherever_it_is(value: float | None, epoch: int) -> None:
    assert "no finite score" in (halving(min_trials=99).observe("a", epoch, value).reason or "")


def test_nothing_is_stopped_before_the_rung_holds_enough_trials() -> None:
    rungs = halving(min_trials=4)
    assert [rungs.observe(name, 1, value) for name, value in [("a", 0.9), ("b", 0.1), ("c", 0.2)]] == [GO_ON] * 3
    reason = rungs.observe("d", 1, 0.15).reason
    assert reason is not None
    assert "0.1500 at epoch 1" in reason
    assert "4 trials" in reason


def test_the_best_share_goes_on_and_ties_pass() -> None:
    rungs = halving()
    for number in range(9):
        rungs.replay(f"t{number}", {1: number / 10})
    assert rungs.observe("low", 1, 0.2).action == "stop"
    assert rungs.observe("high", 1, 0.85) == GO_ON
    same = halving()
    assert [same.observe(name, 1, 0.5) for name in "abcd"] == [GO_ON] * 4


def test_a_trial_is_judged_once_a_rung_and_never_at_full_budget() -> None:
    rungs = halving()
    for number in range(6):
        rungs.replay(f"t{number}", {1: 0.9, 3: 0.9})
    assert rungs.observe("a", 1, 0.95) == GO_ON
    assert rungs.observe("a", 2, 0.0) == GO_ON, "between rungs, its first rung is behind it"
    assert rungs.observe("a", 3, 0.0).action == "stop"
    assert rungs.observe("b", 9, 0.0) == GO_ON


def test_a_late_first_report_counts_at_the_highest_rung_reached() -> None:
    rungs = halving()
    rungs.replay("a", {5: 0.9})
    rungs.replay("b", {5: 0.8})
    assert rungs.observe("c", 4, 0.1).action == "stop"
    assert rungs.observe("d", 1, 0.1) == GO_ON, "the lower rung is still empty"


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


def late(patience: int = 2) -> Halving:
    """Six trials that were at 0.5 after epoch 1 and stand at 0.6 two epochs later."""
    rungs = Halving((1,), epochs=9, reduction=3, min_trials=2, patience=patience)
    for number in range(6):
        rungs.replay(f"t{number}", {1: 0.5, 2: 0.55, 3: 0.6})
    return rungs


def test_a_late_bloomer_is_judged_again_after_its_patience() -> None:
    rungs = late()
    assert [rungs.observe("bloomer", epoch, value) for epoch, value in [(1, 0.1), (2, 0.2), (3, 0.7)]] == [GO_ON] * 3
    rungs = late()
    assert [rungs.observe("low", epoch, 0.1) for epoch in (1, 2)] == [GO_ON] * 2
    assert rungs.observe("low", 3, 0.2).reason == (
        "0.2000 at epoch 3 is below 0.6000, the bar of 7 trials there, as it was at epoch 1"
    )
    rungs = late()
    assert [rungs.observe("early", epoch, value) for epoch, value in [(1, 0.9), (2, 0.1), (3, 0.1)]] == [GO_ON] * 3
    assert late(patience=8).observe("low", 8, 0.0) == GO_ON, "its second look would be at full budget"


def promotion(min_trials: int = 3) -> Promotion:
    rungs = Promotion((1, 3), epochs=9, reduction=3, min_trials=min_trials)
    for number in range(7):
        rungs.enroll(f"t{number}", number)
    return rungs


def test_every_trial_pauses_at_its_rung_and_the_best_goes_on_whenever_it_came() -> None:
    rungs, paused = promotion(), set[str]()
    for number, value in enumerate([0.5, 0.4, 0.3]):
        assert rungs.promotable(paused, last=False) is None
        assert rungs.observe(f"t{number}", 1, value).action == "pause"
        paused.add(f"t{number}")
    assert rungs.promotable(paused, last=False) == "t0"
    paused.discard("t0")
    assert rungs.promotable(paused, last=False) is None, "one in three has been promoted"
    assert rungs.observe("t0", 2, 0.5) == GO_ON
    assert rungs.observe("t0", 3, 0.6).action == "pause"
    paused.add("t0")
    assert rungs.promotable(paused, last=False) is None, "alone on the second rung"
    for number, value in enumerate([0.1, 0.45, 0.2], start=3):
        rungs.observe(f"t{number}", 1, value)
        paused.add(f"t{number}")
    assert rungs.promotable(paused, last=False) == "t4", "two of six"
    assert rungs.rest("t1") == "0.4000 at epoch 1 is not among the best 2 of 6 trials there"


def test_where_nobody_will_report_any_more_the_best_of_each_rung_goes_on() -> None:
    rungs = promotion(min_trials=4)
    rungs.observe("t0", 1, 0.5)
    rungs.observe("t1", 1, 0.5)
    assert rungs.promotable({"t0", "t1"}, last=False) is None
    assert rungs.promotable({"t0", "t1"}, last=True) == "t0", "of two equals the older"
    assert rungs.promotable({"t1"}, last=True) is None
    rungs.observe("t0", 3, 0.7)
    assert rungs.promotable({"t0", "t1"}, last=True) == "t0"
    assert rungs.observe("t0", 9, 0.7) == GO_ON
