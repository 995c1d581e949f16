"""Claims: VICReg's terms are the official code's; a collapsed batch is seen by std alone, a decorrelated one by none;
shifts do not matter."""

import pytest
import torch

from hjepa.objectives.vicreg import closeness, covariance, covariance_of_views, spread, spread_of_views
from tests.objectives.oracle import det


def test_reference_values() -> None:
    views = torch.stack([det(16, 8), det(16, 8, a=0.41, c=0.2)])
    inv, std, cov = closeness(*views), spread_of_views(views), covariance_of_views(views)
    assert float(inv) == pytest.approx(1.182915, abs=5e-7)
    assert float(std) == pytest.approx(0.187778, abs=5e-7)
    assert float(cov) == pytest.approx(1.993663, abs=5e-7)
    assert float(25 * inv + 25 * std + cov) == pytest.approx(36.260992, abs=1e-5)


def test_the_mean_of_covariances_is_the_sum_over_the_other_dimensions() -> None:
    samples = det(16, 8)
    assert torch.allclose(covariance(samples, "mean"), covariance(samples, "sum") / 7)


def test_a_collapsed_batch_and_a_decorrelated_one() -> None:
    collapsed = torch.full((16, 8), 3.0)
    assert float(spread(collapsed)) == pytest.approx(0.99, abs=1e-4)
    assert float(covariance(collapsed)) == 0.0
    orthogonal = torch.linalg.qr(torch.cat([torch.ones(16, 1), det(16, 7).float()], 1)).Q[:, 1:] * 15**0.5
    assert float(spread(orthogonal)) == pytest.approx(0.0, abs=1e-6)
    assert float(covariance(orthogonal)) == pytest.approx(0.0, abs=1e-6)
    assert float(spread(orthogonal, gamma=2.0)) == pytest.approx(1.0, abs=1e-3)


def test_a_shift_changes_nothing() -> None:
    samples = det(16, 8).requires_grad_()
    total = spread(samples) + covariance(samples)
    assert torch.allclose(total, spread(samples + 5.0) + covariance(samples + 5.0))
    (gradient,) = torch.autograd.grad(total, samples)
    assert torch.allclose(gradient.sum(0), torch.zeros(8, dtype=torch.float64), atol=1e-12)
    assert gradient.abs().sum() > 0
