"""Claims: the schedules return the official I-JEPA values at every listed step."""

import pytest

from hjepa.optim import lr_at, momentum_at, weight_decay_at


@pytest.mark.parametrize(
    ("step", "value"),
    [(1, 2.8e-4), (5, 6e-4), (9, 9.2e-4), (10, 1e-3), (11, 9.996957e-4), (55, 5.005e-4), (99, 1.30428e-6), (100, 1e-6)],
)
def test_learning_rate(step: int, value: float) -> None:
    assert lr_at(step, 100, 10, start=2e-4, peak=1e-3, end=1e-6) == pytest.approx(value, rel=2e-6)


@pytest.mark.parametrize(("step", "value"), [(1, 0.0400888), (50, 0.22), (100, 0.4)])
def test_weight_decay(step: int, value: float) -> None:
    assert weight_decay_at(step, 100, start=0.04, end=0.4) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("step", "value"), [(0, 0.996), (1, 0.99604), (50, 0.998), (100, 1.0)])
def test_momentum(step: int, value: float) -> None:
    assert momentum_at(step, 100, start=0.996, end=1.0) == pytest.approx(value, rel=1e-9)
