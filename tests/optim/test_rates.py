"""Claims: each schedule rises as the warm-up says and then follows its closed form; the rate scales with
the batch by the configured rule; Schedule-Free has no schedule beyond the warm-up; changes multiply what is scheduled
from their epoch on; what cannot act is refused."""

import math
from typing import Any

import pytest

from hjepa.config import EmaConfig, OptimConfig
from hjepa.optim import Schedule
from hjepa.overrides import ConfigError, load_config

#: 10 of 110 steps are the warm-up.
SHARES = {"lr": 1.0, "warmup": 1 / 11, "lr_start": 0.5, "lr_end": 0.1}


def lr(step: int, **fields: Any) -> float:
    return Schedule(OptimConfig.model_validate(SHARES | fields), EmaConfig(), 110).at(step).lr


def cosine(progress: float) -> float:
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))


@pytest.mark.parametrize("kind", ["cosine", "restarts", "constant", "wsd"])
@pytest.mark.parametrize("step", [1, 5, 10])
def test_every_schedule_rises_in_a_line_to_the_peak(kind: str, step: int) -> None:
    assert lr(step, schedule=kind) == pytest.approx(0.5 + 0.5 * step / 10)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"schedule": "cosine"}, {35: cosine(0.25), 60: cosine(0.5), 110: 0.1}),
        ({"schedule": "constant"}, {11: 1.0, 60: 1.0, 110: 1.0}),
        ({"schedule": "wsd", "decay_share": 0.5}, {55: 1.0, 66: 0.82, 110: 0.1}),
        ({"schedule": "restarts", "restart_period": 0.5}, {59: cosine(0.98), 60: 1.0, 61: cosine(0.02), 110: 0.1}),
        (
            {"schedule": "restarts", "restart_period": 0.2, "restart_mult": 3},
            {29: cosine(0.95), 30: 1.0, 31: cosine(1 / 60), 90: 1.0, 110: cosine(20 / 180)},
        ),
        ({"optimiser": "schedule_free"}, {5: 0.75, 11: 1.0, 60: 1.0, 110: 1.0}),
    ],
)
def test_after_the_warm_up(fields: dict[str, Any], expected: dict[int, float]) -> None:
    assert {step: lr(step, **fields) for step in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("rule", "factor"), [("none", 1.0), ("linear", 4.0), ("sqrt", 2.0)])
def test_the_rate_scales_with_the_batch(rule: str, factor: float) -> None:
    for step in (3, 60):
        assert lr(step, batch_size=1024, lr_scaling=rule) == pytest.approx(factor * lr(step))
        assert lr(step, batch_size=256, lr_scaling=rule) == lr(step)


@pytest.mark.parametrize(("rule", "factor"), [("none", 1.0), ("linear", 4.0), ("sqrt", 2.0)])
def test_the_rate_follows_a_growing_batch(rule: str, factor: float) -> None:
    config = OptimConfig.model_validate(SHARES | {"batch_size": 64, "batch_schedule": "linear", "batch_lr": rule})
    schedule = Schedule(config, EmaConfig(), 110)
    assert schedule.at(60, 256).lr == pytest.approx(factor * schedule.at(60, 64).lr)
    assert schedule.at(60, 64) == schedule.at(60)


CHANGES = [{"epoch": 2, "lr": 0.5}, {"epoch": 3, "lr": 3.0, "weight_decay": 4.0}]


@pytest.mark.parametrize("fields", [{}, {"schedule": "wsd"}, {"optimiser": "schedule_free"}, {"weight_decay_end": 0.5}])
def test_changes_multiply_what_is_scheduled(fields: dict[str, Any]) -> None:
    plain = Schedule(OptimConfig.model_validate(SHARES | fields), EmaConfig(), 110)
    changed = Schedule(OptimConfig.model_validate(SHARES | fields | {"changes": CHANGES}), EmaConfig(), 110, [41, 61])
    for step, lr, weight_decay in ((1, 1.0, 1.0), (40, 1.0, 1.0), (41, 0.5, 1.0), (60, 0.5, 1.0), (61, 1.5, 4.0)):
        assert changed.at(step).lr == plain.at(step).lr * lr
        assert changed.at(step).weight_decay == plain.at(step).weight_decay * weight_decay
        assert changed.at(step).momentum == plain.at(step).momentum


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["optim.optimiser=schedule_free", "optim.schedule=wsd"], "optim.schedule: got wsd; allowed only when"),
        (["optim.optimiser=schedule_free", "optim.lr_end=0.1"], "optim.lr_end: got 0.1; allowed only when"),
        (["optim.optimiser=schedule_free", "optim.betas=[0, 0.9]"], "optim.betas: got"),
        (["optim.optimiser=lars", "optim.betas=[0.8, 0.9]"], "optim.betas: got"),
        (["optim.schedule=constant", "optim.lr_end=0.1"], "optim.lr_end: got 0.1; allowed only when"),
        (["optim.schedule=wsd", "optim.warmup=0.9"], "optim.decay_share: got 0.2; allowed at most 0.1"),
        (["optim.batch_lr=linear"], "optim.batch_lr: got linear; allowed only when"),
        (["optim.lars_trust=0.1"], "optim.lars_trust: got 0.1; allowed only when"),
        (["optim.changes=[]"], "optim.changes: got []; allowed"),
        (["optim.changes=[{epoch: 1, lr: 0}]"], "optim.changes: got [{'epoch': 1, 'lr': 0}]; allowed greater than 0"),
        (["optim.changes=[{epoch: 1}]"], "optim.changes: got a change without a factor; allowed"),
        (["optim.changes=[{epoch: 3, lr: 2}, {epoch: 3, lr: 2}]"], "optim.changes: got the epochs [3, 3]; allowed"),
        (["optim.changes=[{epoch: 20, lr: 2}]"], "optim.changes: got a change after 20 epochs; allowed before"),
    ],
)
def test_what_cannot_act_is_refused(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, settings)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
