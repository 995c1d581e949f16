"""Claims: the Epps-Pulley statistic is the official code's and sees scale, shift and rank; directions are unit vectors,
drawn for a step alone."""

import math

import pytest
import torch

from hjepa.objectives.sigreg import directions, epps_pulley
from hjepa.runtime.streams import generator
from tests.objectives.oracle import det

COLUMNS = [0.832117, 0.597549, 1.147274, 1.653012, 1.654782, 0.750327, 0.892303, 0.658842]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_reference_values() -> None:
    found = epps_pulley(det(64, 8).float())
    assert found.tolist() == pytest.approx(COLUMNS, abs=2e-6)
    assert float(found.mean()) == pytest.approx(1.023276, abs=2e-6)
    assert float(epps_pulley(torch.zeros(64, 1))) == pytest.approx(25.731045, abs=1e-4)
    assert float(epps_pulley(torch.full((64, 1), 100.0))) == pytest.approx(41.164806, abs=1e-3)


def test_gaussian_samples() -> None:
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    quantiles = math.sqrt(2) * torch.erfinv(2 * uniform - 1)
    assert float(epps_pulley(quantiles.unsqueeze(1))) == pytest.approx(3.53e-5, rel=5e-3)
    assert float(epps_pulley(normal(256, 512)).mean()) == pytest.approx(1.04, abs=0.1)


def test_scale_shift_and_rank_are_seen() -> None:
    samples = normal(256, 16)
    good = float(epps_pulley(samples).mean())
    assert float(epps_pulley(0.01 * samples).mean()) > 50 * good
    assert float(epps_pulley(samples + 1.0).mean()) > 20 * good
    line = samples[:, :1] * torch.ones(16) @ directions(16, 64, generator(0, "test"))
    assert float(epps_pulley(line).mean()) > 5 * good
    small = (0.01 * samples).requires_grad_()
    epps_pulley(small).mean().backward()
    assert small.grad is not None and small.grad.norm() > 1e-2


def test_without_n_it_is_the_nth_part_and_points_and_reach_matter() -> None:
    samples = normal(64, 4)
    assert torch.allclose(64 * epps_pulley(samples, scale_by_n=False), epps_pulley(samples))
    assert not torch.allclose(epps_pulley(samples, points=9), epps_pulley(samples), rtol=1e-6)
    assert not torch.allclose(epps_pulley(samples, t_max=5.0), epps_pulley(samples), rtol=1e-4)


def test_views_have_each_their_statistic() -> None:
    views = normal(3, 64, 4)
    assert torch.allclose(epps_pulley(views), torch.stack([epps_pulley(view) for view in views]))


def test_directions_are_unit_vectors_of_their_step() -> None:
    first = directions(16, 8, generator(0, "sigreg", 1))
    assert torch.allclose(first.norm(dim=0), torch.ones(8))
    assert torch.equal(first, directions(16, 8, generator(0, "sigreg", 1)))
    assert not torch.equal(first, directions(16, 8, generator(0, "sigreg", 2)))
