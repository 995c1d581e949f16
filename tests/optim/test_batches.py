"""Claims: whatever the batch schedule, an epoch sees each image at most once and as many as a constant batch
would; a step's batch is a function of its number; growth reaches what is configured, by the stated rule."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hjepa.config import OptimConfig
from hjepa.optim import Batches


def batches(images: int, epochs: int, **fields: Any) -> Batches:
    return Batches(OptimConfig.model_validate(fields), images, epochs)


def sizes(plan: Batches) -> list[int]:
    return [plan.size(step) for step in range(1, plan.total + 1)]


@given(
    images=st.integers(8, 400),
    epochs=st.integers(0, 6),
    unit=st.integers(2, 8),
    kind=st.sampled_from(["constant", "stepped", "linear"]),
    growth=st.integers(2, 9),
    stages=st.integers(2, 5),
)
def test_an_epoch_sees_each_image_at_most_once(
    images: int, epochs: int, unit: int, kind: str, growth: int, stages: int
) -> None:
    plan = batches(images, epochs, batch_size=unit, batch_schedule=kind, batch_growth=growth, batch_stages=stages)
    numbers: list[int] = []
    for epoch in range(epochs):
        rows = [row for step in plan.steps(epoch) for row in range(images)[plan.rows(step)]]
        assert rows == list(range(images // unit * unit))
        numbers += plan.steps(epoch)
    assert numbers == list(range(1, plan.total + 1))
    assert all(size % unit == 0 and unit <= size <= growth * unit for size in sizes(plan))
    assert plan.seen(plan.total) == sum(sizes(plan)) == epochs * (images // unit) * unit


def test_constant_is_the_plain_loop() -> None:
    plan = batches(103, 3, batch_size=10)
    assert plan.total == 30 and sizes(plan) == [10] * 30
    assert plan.steps(1) == range(11, 21) and plan.rows(11) == slice(0, 10) and plan.rows(20) == slice(90, 100)


def test_stages_multiply_the_batch() -> None:
    """Four epochs of 12 units in three stages of 16 units each: factors 1, 2, 4."""
    plan = batches(120, 4, batch_size=10, batch_schedule="stepped", batch_growth=4, batch_stages=3)
    assert sizes(plan) == [10] * 16 + [20] * (4 + 4) + [40] * 4
    assert [len(plan.steps(epoch)) for epoch in range(4)] == [12, 8, 5, 3]


def test_linear_growth_spends_equal_images_on_each_size() -> None:
    plan = batches(1000, 12, batch_size=10, batch_schedule="linear", batch_growth=4)
    found = sizes(plan)
    seen = {size: sum(s for s in found if s == size) for size in (10, 20, 30, 40)}
    assert sorted(seen) == sorted(set(found))
    for images in seen.values():
        assert images == pytest.approx(3000, abs=250)  # the last step of an epoch takes what is left


def test_the_last_step_of_an_epoch_takes_what_is_left() -> None:
    plan = batches(50, 2, batch_size=10, batch_schedule="stepped", batch_growth=3, batch_stages=2)
    assert sizes(plan) == [10] * 5 + [30, 20]
