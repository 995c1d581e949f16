"""The views of an image agree with the mean of its global views.

Source: LeJEPA (Balestriero and LeCun 2025, arXiv 2511.08544), listing of the LeJEPA loss.
"""

from torch import Tensor


def invariance(views: Tensor, globals_: int) -> Tensor:
    """Mean of (mu - z_v)^2 over views, samples and dimensions of [V, N, D].

    mu is the mean of an image's first `globals_` views; the gradient passes through it, too. The mean
    over dimensions is the official code's.
    """
    centre = views[:globals_].mean(0)
    return (centre - views).square().mean()
