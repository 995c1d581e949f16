"""Claim: every view is drawn to the mean of the global views, through which the gradient passes, too."""

import torch

from hjepa.objectives.invariance import invariance
from tests.objectives.oracle import det


def test_distance_to_the_mean_of_the_global_views() -> None:
    views = det(3, 4, 6).requires_grad_()
    centre = (views[0] + views[1]) / 2
    by_hand = torch.stack([(view - centre).square().mean() for view in views]).mean()
    found = invariance(views, 2)
    assert torch.allclose(found, by_hand)
    found.backward()
    assert views.grad is not None and views.grad[0].abs().sum() > 0 and views.grad[2].abs().sum() > 0
    assert float(invariance(det(1, 4, 6).expand(3, 4, 6), 2)) == 0.0
