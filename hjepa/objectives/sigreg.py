"""SIGReg: embeddings as an isotropic standard Gaussian, tested along random directions.

Source: LeJEPA (Balestriero and LeCun 2025, arXiv 2511.08544), code rbalestr-lab/lejepa. The embeddings
are never standardised first: the test would then see neither scale nor shift, and prevent no collapse.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def directions(width: int, count: int, stream: torch.Generator) -> Tensor:
    """`count` random unit vectors, [width, count], float32 on the CPU; the same for all views and workers of a step."""
    drawn = torch.randn(width, count, generator=stream)
    return F.normalize(drawn, dim=0)


def epps_pulley(samples: Tensor, *, points: int = 17, t_max: float = 3.0, scale_by_n: bool = True) -> Tensor:
    """The Epps-Pulley statistic of each column of [..., N, K]: distance to a standard normal, [..., K].

    Squared difference of the characteristic functions, weighted by exp(-t^2 / 2) and integrated by the
    trapezoid rule over [-t_max, t_max], of which symmetry leaves `points` values of t from 0 on.
    scale_by_n: times N, as in the official code: about 1.04 for Gaussian samples whatever N, and far
    above it, in proportion to N, for others.
    """
    t = torch.linspace(0.0, t_max, points, device=samples.device, dtype=samples.dtype)
    step = t_max / (points - 1)
    weights = torch.full_like(t, 2.0 * step)
    weights[0] = weights[-1] = step
    gaussian = (-0.5 * t.square()).exp()
    angles = samples.unsqueeze(-1) * t
    error = (angles.cos().mean(-3) - gaussian).square() + angles.sin().mean(-3).square()
    statistic = error @ (weights * gaussian)
    return statistic * samples.shape[-2] if scale_by_n else statistic
