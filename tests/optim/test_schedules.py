"""Claims: cosine, weight decay and momentum return the official I-JEPA values at every listed step;
restarts those of torch's scheduler, and end at the end; the stable phase falls in a straight line."""

import math

import pytest
import torch

from hjepa.optim import lr_at, momentum_at, restarts_at, stable_at, weight_decay_at


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


@pytest.mark.parametrize("mult", [1, 2, 3])
def test_restarts_are_those_of_torch(mult: int) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    torchs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=7, T_mult=mult, eta_min=1e-5)
    for position in range(60):
        ours = restarts_at(position, 1000, first=7, mult=mult, peak=1e-3, end=1e-5)
        assert ours == pytest.approx(torchs.get_last_lr()[0], rel=1e-9), position
        optimiser.step()
        torchs.step()


@pytest.mark.parametrize("first", [20, 25, 99.9])
def test_restarts_around_the_first_period(first: float) -> None:
    def at(position: float) -> float:
        return restarts_at(position, 1000, first=first, mult=2, peak=1.0, end=0.1)

    assert at(first - 1) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * (first - 1) / first)))
    assert at(first) == 1.0
    assert at(first + 1) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi / (2 * first))))


@pytest.mark.parametrize(("span", "period"), [(100, 0.25), (101, 0.25), (7, 0.5), (99, 1 / 3), (1, 0.25), (1234, 0.01)])
def test_cycles_that_fill_the_run_end_at_the_end(span: int, period: float) -> None:
    """No restart falls on the last step."""
    values = [restarts_at(p, span, first=period * span, mult=1, peak=1.0, end=0.1) for p in range(span + 1)]
    assert values[0] == 1.0 and values[-1] == pytest.approx(0.1, abs=1e-9)
    assert all(0.1 <= value <= 1.0 for value in values)


def test_the_stable_phase_ends_in_a_straight_line() -> None:
    values = [stable_at(step, 100, 20.0, peak=1.0, end=0.2) for step in (1, 50, 80, 85, 90, 95, 100)]
    assert values == pytest.approx([1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])
