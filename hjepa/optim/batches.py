"""How many images each step trains on."""

import math

import numpy as np

from hjepa.config import OptimConfig


class Batches:
    """The plan of a run over so many images: every step's batch is a function of its number alone.

    A batch is a whole number of units of `batch_size` images, 1 at first and at most `batch_growth` at
    the end, by the share of the run's images seen so far. An epoch sees the units that a constant
    batch would: each image at most once, the rest of less than a unit not at all. Its last step takes
    what is left.
    """

    def __init__(self, config: OptimConfig, images: int, epochs: int) -> None:
        self.config = config
        self.unit = config.batch_size
        per_epoch = images // self.unit
        units = [self._epoch(per_epoch, epoch * per_epoch, epochs * per_epoch) for epoch in range(epochs)]
        self._ends = np.cumsum([0, *map(len, units)])
        self._seen = np.cumsum([0, *(count * self.unit for epoch in units for count in epoch)])

    def _epoch(self, left: int, seen: int, whole: int) -> list[int]:
        """Units of each step of an epoch of `left` units, after `seen` of the run's `whole`."""
        if self.config.batch_schedule == "constant":
            return [1] * left
        steps = []
        while left:
            steps.append(min(left, self._units(seen, whole)))
            left -= steps[-1]
            seen += steps[-1]
        return steps

    def _units(self, seen: int, whole: int) -> int:
        """Units of a step by the schedule; integers, so that no rounding moves a stage."""
        growth = self.config.batch_growth
        if self.config.batch_schedule == "linear":
            return 1 + seen * growth // whole
        stages = self.config.batch_stages
        return round(math.pow(growth, (seen * stages // whole) / (stages - 1)))

    @property
    def total(self) -> int:
        """Optimiser steps of the whole run."""
        return int(self._ends[-1])

    def steps(self, epoch: int) -> range:
        """The steps, numbered from 1, of epoch `epoch`, numbered from 0."""
        return range(int(self._ends[epoch]) + 1, int(self._ends[epoch + 1]) + 1)

    def size(self, step: int) -> int:
        """Images of step `step` in 1..total."""
        return int(self._seen[step] - self._seen[step - 1])

    def seen(self, step: int) -> int:
        """Images of the first `step` steps."""
        return int(self._seen[step])

    def rows(self, step: int) -> slice:
        """Where in the order of its epoch's images those of the step lie."""
        epoch = int(np.searchsorted(self._ends, step)) - 1
        before = int(self._seen[self._ends[epoch]])
        return slice(self.seen(step - 1) - before, self.seen(step) - before)
