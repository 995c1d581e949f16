"""Claims: UW-SO's weights have the reference values, carry no gradient and skip an empty level; Kendall's log variances
go to the logarithms of constant losses."""

import pytest
import torch

from hjepa.objectives.weighting import fixed, kendall, uwso_weights

LOSSES = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
ALL = torch.ones(3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("temperature", "weights"),
    [(1.0, [0.04201, 0.11420, 0.84379]), (0.5, [0.00243, 0.01794, 0.97963]), (5.0, [0.24731, 0.30206, 0.45063])],
)
def test_uwso_reference_values(temperature: float, weights: list[float]) -> None:
    assert uwso_weights(LOSSES, temperature, ALL).tolist() == pytest.approx(weights, abs=6e-6)


def test_uwso_ends_are_equal_weights_and_the_smallest_loss() -> None:
    assert uwso_weights(LOSSES, 1e9, ALL).tolist() == pytest.approx([1 / 3] * 3, abs=1e-7)
    assert uwso_weights(LOSSES, 1e-9, ALL).tolist() == [0.0, 0.0, 1.0]
    assert uwso_weights(torch.tensor([0.3, 0.0]), 1.0, torch.tensor([True, False])).tolist() == [1.0, 0.0]
    assert torch.isfinite(uwso_weights(torch.zeros(3), 1e-3, ALL)).all()


def test_uwso_weights_carry_no_gradient() -> None:
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    losses = torch.stack([x, x.square(), 2 * x])
    weights = uwso_weights(losses, 2.0, ALL)
    (gradient,) = torch.autograd.grad(fixed(losses.unbind(), weights.tolist()), x)
    assert not weights.requires_grad
    assert float(gradient) == pytest.approx(float(weights @ torch.tensor([1.0, 1.4, 2.0], dtype=torch.float64)))


def test_kendall_finds_the_logarithm_of_the_loss() -> None:
    scales = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert float(kendall(LOSSES, scales, ALL, 1.0)[0].detach()) == pytest.approx(float(LOSSES.sum()) / 2)
    optimiser = torch.optim.SGD([scales], lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        total, weights = kendall(LOSSES, scales, ALL, 1.0)
        total.backward()
        optimiser.step()
    assert scales.tolist() == pytest.approx(LOSSES.log().tolist(), abs=1e-4)
    assert weights.tolist() == pytest.approx((0.5 / LOSSES).tolist(), rel=1e-3)


def test_kendall_adds_up_over_the_parts_of_a_batch() -> None:
    scales = torch.tensor([0.3, -0.2, 0.0], dtype=torch.float64)
    whole = kendall(LOSSES, scales, ALL, 1.0)[0]
    parts = [kendall(share * LOSSES, scales, ALL, share)[0] for share in (0.25, 0.75)]
    assert torch.allclose(whole, sum(parts))
