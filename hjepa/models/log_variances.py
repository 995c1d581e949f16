"""Learned log variances of the levels' losses."""

import torch
from torch import Tensor, nn

#: A level whose loss goes to 0 would else get an endless weight.
LOWEST = -5.0


class LogVariances(nn.Module):
    """One number s a level, 0 at first and never below -5.

    Source: Kendall, Gal and Cipolla 2018 (arXiv 1705.07115); the limit is this project's.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(levels))

    def forward(self) -> Tensor:
        """[levels]; a step of the optimiser that went too low is taken back first."""
        with torch.no_grad():
            self.values.clamp_(min=LOWEST)
        return self.values
