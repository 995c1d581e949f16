"""Whatever the rule: nothing ends before its grace or among few trials, a score that is not finite ends at once,
names do not matter, and replaying the scores in any order gives the same rule.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hjepa.config import Config
from hjepa.overrides import load_config
from hjepa.search.sections import SchedulerSpec
from hjepa.search.stopping.brackets import Brackets
from hjepa.search.stopping.halving import Halving
from hjepa.search.stopping.rule import Decision, Rule
from hjepa.search.stopping.schedulers import grace_epochs, in_words, make_rule

EPOCHS, GRACE, LEAST = 12, 2, 3
COMMON = {"grace": GRACE / EPOCHS, "min_trials": LEAST}
SCHEDULERS = {
    "asha": SchedulerSpec(reduction=2, **COMMON),
    "asha with patience": SchedulerSpec(reduction=2, patience=2, **COMMON),
    "promotion": SchedulerSpec(reduction=2, variant="promotion", **COMMON),
    "hyperband": SchedulerSpec(type="hyperband", reduction=2, seed=3, **COMMON),
    "hyperband with promotion": SchedulerSpec(type="hyperband", reduction=2, variant="promotion", **COMMON),
    "median": SchedulerSpec(type="median", **COMMON),
    "median with patience": SchedulerSpec(type="median", patience=3, **COMMON),
    "percentile": SchedulerSpec(type="percentile", percentile=40, **COMMON),
}
BASE: Config = load_config(overrides=[f"training.epochs={EPOCHS}"])
Curves = list[list[float]]
curves = st.lists(
    st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=EPOCHS, max_size=EPOCHS), min_size=1, max_size=8
)
rules = pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)


def fresh(scheduler: SchedulerSpec, names: list[str]) -> Rule:
    rule = make_rule(scheduler, BASE)
    assert rule is not None
    for number, name in enumerate(names):
        rule.enroll(name, number)
    return rule


def live(
    rule: Rule, scores: Curves, names: list[str], seen: Callable[[int, int, Decision], None] = lambda *_: None
) -> list[tuple[int, int, Decision]]:
    """All trials side by side, an epoch each in turn; the best of those that pause go on as the rule says."""
    found: list[tuple[int, int, Decision]] = []
    running, paused, at = list(range(len(scores))), set[int](), [0] * len(scores)
    while running:
        for number in list(running):
            at[number] += 1
            decision = rule.observe(names[number], at[number], scores[number][at[number] - 1])
            found.append((number, at[number], decision))
            seen(number, at[number], decision)
            if decision.action == "pause":
                paused.add(number)
            if decision.action != "continue" or at[number] == EPOCHS:
                running.remove(number)
        waiting = {names[number] for number in paused}
        while (name := rule.promotable(waiting, last=not running)) is not None:
            waiting.discard(name)
            paused.discard(names.index(name))
            running.append(names.index(name))
    return found


@pytest.mark.slow
@rules
@given(scores=curves)
def test_nothing_ends_before_its_grace_among_few_trials_or_at_full_budget(
    scheduler: SchedulerSpec, scores: Curves
) -> None:
    names = [f"t{number}" for number in range(len(scores))]
    for number, epoch, decision in live(fresh(scheduler, names), scores, names):
        if decision.action != "continue":
            assert GRACE <= epoch < EPOCHS
        if decision.action == "stop":
            assert len(scores) >= LEAST
            assert epoch >= GRACE + scheduler.patience
            assert f"{scores[number][epoch - 1]:.4f}" in (decision.reason or "") or scheduler.type == "median"


@rules
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_ends_a_trial_at_once(scheduler: SchedulerSpec, value: float | None) -> None:
    for epoch in (1, EPOCHS - 1, EPOCHS):
        rule = fresh(scheduler, ["a"])
        assert rule.observe("a", epoch, value) == Decision("stop", f"no finite score at epoch {epoch}")
        rule.replay("a", {epoch: value})  # and leaves nothing behind


@pytest.mark.slow
@rules
@given(scores=curves, words=st.permutations(list("abcdefgh")))
def test_names_do_not_matter(scheduler: SchedulerSpec, scores: Curves, words: list[str]) -> None:
    names = [f"t{number}" for number in range(len(scores))]
    words = words[: len(scores)]
    assert live(fresh(scheduler, words), scores, words) == live(fresh(scheduler, names), scores, names)


@pytest.mark.slow
@rules
@settings(max_examples=30, deadline=None)
@given(scores=curves, order=st.randoms(use_true_random=False))
def test_replaying_the_scores_in_any_order_gives_the_same_rule(
    scheduler: SchedulerSpec, scores: Curves, order: object
) -> None:
    """At every moment of a study: a driver that is killed there goes on with a rule that decides as the old one did."""
    names = [f"t{number}" for number in range(len(scores))]
    rule = fresh(scheduler, names)
    histories: dict[str, dict[int, float | None]] = {}

    def again(number: int, epoch: int, decision: Decision) -> None:
        histories.setdefault(names[number], {})[epoch] = scores[number][epoch - 1]
        restarted = fresh(scheduler, names)
        shuffled = list(histories)
        order.shuffle(shuffled)  # type: ignore[attr-defined]
        for name in shuffled:
            restarted.replay(name, histories[name])
        assert restarted.judge(names[number], epoch) == decision
        for last in (False, True):
            assert restarted.promotable(names, last=last) == rule.promotable(names, last=last)

    live(rule, scores, names, again)


def test_brackets_are_drawn_by_the_seed_and_the_configuration() -> None:
    def drawn(seed: int) -> list[int]:
        rule = Brackets(
            (1, 3, 9),
            lambda part: Halving(part, epochs=27, reduction=3, min_trials=1),
            brackets=4,
            reduction=3,
            seed=seed,
        )
        for number in range(400):
            rule.enroll(f"s{number}", number)
        return list(rule._bracket.values())

    assert drawn(0) == drawn(0) != drawn(1)
    counts = [drawn(0).count(bracket) / 400 for bracket in range(4)]
    assert counts == pytest.approx([27 / 49, 12 / 49, 6 / 49, 4 / 49], abs=0.06), "as Hyperband's brackets"


def test_a_curve_below_the_others_is_stopped_and_one_that_recovers_is_not() -> None:
    for kind, bar in [("median", "the median of the means"), ("percentile", "percentile 25")]:
        rule = fresh(SchedulerSpec(type=kind, patience=2, **COMMON), list("abcd"))
        for name in "abc":
            rule.replay(name, {epoch: 0.5 + epoch / 100 for epoch in range(1, 9)})
        early = [rule.observe("d", epoch, 0.1) for epoch in (1, 2, 3)]
        assert {decision.action for decision in early} == {"continue"}, "below for one epoch since its grace"
        assert rule.judge("d", 3).action == "continue"
        low = rule.observe("d", 4, 0.2)
        assert low.action == "stop"
        assert "0.2000 at epoch 4 is below 0." in str(low.reason)
        assert f"{bar} of 4 trials there, below since epoch 2" in str(low.reason)
        rule = fresh(SchedulerSpec(type=kind, patience=2, **COMMON), list("abcd"))
        for name in "abc":
            rule.replay(name, {epoch: 0.5 + epoch / 100 for epoch in range(1, 9)})
        values = {1: 0.1, 2: 0.1, 3: 0.9, 4: 0.6, 5: 0.6}
        assert {rule.observe("d", epoch, value).action for epoch, value in values.items()} == {"continue"}


def test_the_plan_says_what_the_scheduler_does() -> None:
    said = {name: in_words(scheduler, BASE) for name, scheduler in SCHEDULERS.items()}
    assert grace_epochs(SCHEDULERS["asha"], BASE) == GRACE
    assert said["asha"] == "asha at epochs 2, 4, 8: a trial below the best 1/2 stops, once 3 trials have been there"
    assert "below the best 1/2 and is still 2 epochs later stops" in said["asha with patience"]
    assert "a trial pauses, and goes on when it is among the best 1/2 there" in said["promotion"]
    assert said["hyperband"].endswith("; 3 brackets, each without the first rung of the one before it")
    assert said["median"].startswith("median from epoch 2 on: a trial below the median of the others stops")
    assert "below percentile 40" in said["percentile"]
    assert in_words(SchedulerSpec(type="none"), BASE) == "none: every trial runs to the end"


@pytest.mark.parametrize(
    "scheduler",
    [
        {"type": "asha", "grace": 0.5, "patience": 10},
        {"type": "hyperband", "grace": 0.5, "patience": 10},
        {"type": "median", "grace": 1.0},
        {"type": "percentile", "grace": 0.5, "patience": 10},
    ],
)
def test_a_plan_does_not_promise_a_stop_that_could_only_come_at_the_end(scheduler: dict[str, Any]) -> None:
    spec = SchedulerSpec.model_validate(scheduler)
    assert "that is the end, to which every trial runs" in in_words(spec, BASE)
    rule = fresh(spec, [str(number) for number in range(6)])
    for number in range(5):
        rule.replay(str(number), dict.fromkeys(range(1, BASE.training.epochs + 1), 0.9))
    actions = {rule.observe("5", epoch, 0.1).action for epoch in range(1, BASE.training.epochs + 1)}
    assert actions == {"continue"}
