"""A replay spends what the rule would have spent, and says how often the best trial would have been lost."""

import pytest

from hjepa.search.stopping.halving import Halving, Promotion
from hjepa.search.stopping.replay import replay, risk

EPOCHS = 9


def halving(patience: int = 0) -> Halving:
    return Halving((1, 3), epochs=EPOCHS, reduction=3, min_trials=2, patience=patience)


def promotion() -> Promotion:
    return Promotion((1, 3), epochs=EPOCHS, reduction=3, min_trials=2)


def straight(level: float) -> dict[int, float]:
    return {epoch: level * epoch / EPOCHS for epoch in range(1, EPOCHS + 1)}


def late() -> dict[int, float]:
    """The best at the end, and the worst before."""
    return {epoch: 0.95 if epoch > 5 else 0.0 for epoch in range(1, EPOCHS + 1)}


GOOD_FIRST = {f"t{number}": straight(0.9 - number / 10) for number in range(6)}


def test_the_best_runs_to_the_end_and_the_epochs_are_counted() -> None:
    found = replay(halving(), GOOD_FIRST)
    assert found.completed == ("t0",)
    assert {name: epoch for name, (epoch, _) in found.stopped.items()} == dict.fromkeys(list(GOOD_FIRST)[1:], 1)
    assert (found.epochs, found.full) == (9 + 5, 54)
    assert found.saved == pytest.approx(1 - 14 / 54)
    assert len(replay(halving(), GOOD_FIRST, list(GOOD_FIRST)[::-1]).completed) == 6, "each better than the last"


def test_promotion_spends_little_whatever_the_order() -> None:
    for order in (list(GOOD_FIRST), list(GOOD_FIRST)[::-1]):
        found = replay(promotion(), GOOD_FIRST, order)
        assert found.completed[-1] == "t0"
        assert len(found.completed) <= 2
        assert "is not among the best 2 of 6" in found.stopped["t5"][1]


def test_a_late_bloomer_is_the_risk_and_patience_its_price() -> None:
    curves = {**GOOD_FIRST, "late": late()}
    final = {name: curve[EPOCHS] for name, curve in curves.items()}
    hasty, patient = risk(halving, curves, final), risk(lambda: halving(patience=5), curves, final)
    assert hasty.lost is not None
    assert patient.lost is not None
    assert hasty.lost > 0.8, "only in orders that begin with it"
    assert patient.lost == 0.0
    assert (hasty.regret or 0) > 0
    assert (hasty.saved or 0) > (patient.saved or 0)
    assert risk(halving, curves, final) == hasty, "the orders are drawn from a seed"


def test_few_trials_say_nothing() -> None:
    found = risk(halving, GOOD_FIRST, {"t0": 0.9, "t1": 0.8})
    assert (found.trials, found.lost, found.cannot) == (2, None, "2 trials went to the end: at least 4 are needed")
