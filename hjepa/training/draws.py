"""Every random draw of a step, for the whole batch over all workers, and the model's inputs cut from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hjepa.config import HierarchyConfig, ViewsConfig
from hjepa.data import ViewParameters, Views
from hjepa.masks import Masks, MaskSampler, level_targets
from hjepa.models import Inputs, draw_keep
from hjepa.runtime.streams import generator


@dataclass(frozen=True)
class Draws:
    """Draws of V global views and L small crops of a batch, one entry for each view or crop.

    valid: per level [V * batch, G] booleans or None for all, in the views' order; counts: valid cells
    of each level in the whole batch.
    """

    batch: int
    views: list[ViewParameters]
    locals: list[ViewParameters] = field(default_factory=list)
    masks: list[Masks] = field(default_factory=list)
    valid: list[Tensor | None] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    keep: Tensor | None = None
    keep_whole: Tensor | None = None
    keep_locals: Tensor | None = None

    def index(self, rows: slice, count: int | None = None) -> Tensor:
        """Where the rows of a batch lie in what holds `count` views of it, view after view."""
        inside = torch.arange(rows.start, rows.stop)
        return torch.cat([view * self.batch + inside for view in range(count or len(self.views))])


@dataclass(frozen=True)
class Drawer:
    """Draws for the configured views, masks (None: nothing is predicted) and stochastic depth.

    whole: the student also sees whole views. Every draw is a function of (seed, step) alone, from a
    stream of its own, so what is switched on or off leaves the others as they were.
    """

    config: ViewsConfig
    views: Views
    small: Views | None
    masks: MaskSampler | None
    hierarchy: HierarchyConfig
    drop_path: float
    depth: int
    whole: bool
    seed: int

    def draw(self, batch: int, stored_size: int, step: int) -> Draws:
        """The draws of step `step` for images stored at `stored_size` pixels."""
        count = self.config.globals
        masks = self._masks(batch, step)
        valid, counts = self._levels(masks)
        return Draws(
            batch=batch,
            views=[self.views.draw(batch, stored_size, self.seed, step, *_later(view)) for view in range(count)],
            locals=self._locals(batch, stored_size, step),
            masks=masks,
            valid=valid,
            counts=counts,
            keep=self._keep("drop_path", count * batch, step) if masks else None,
            keep_whole=self._keep("drop_path.whole", count * batch, step) if self.whole else None,
            keep_locals=self._keep("drop_path.locals", self.config.locals * batch, step) if self.small else None,
        )

    def _masks(self, batch: int, step: int) -> list[Masks]:
        if self.masks is None:
            return []
        return [self.masks.draw(batch, self.seed, step, view) for view in range(self.config.globals)]

    def _levels(self, masks: Sequence[Masks]) -> tuple[list[Tensor | None], list[float]]:
        if not masks:
            return [], []
        targets = torch.cat([view.targets for view in masks])
        assert self.masks is not None
        above = level_targets(targets, self.masks.grid, self.hierarchy.levels, self.hierarchy.child_rule)
        return [None, *above], [float(targets.numel()), *(float(level.sum()) for level in above)]

    def _locals(self, batch: int, stored_size: int, step: int) -> list[ViewParameters]:
        if self.small is None:
            return []
        # Indices from 2 on: the global views have none and 1.
        return [self.small.draw(batch, stored_size, self.seed, step, 2 + n) for n in range(self.config.locals)]

    def _keep(self, stream: str, rows: int, step: int) -> Tensor | None:
        if self.drop_path == 0:
            return None
        return draw_keep(self.drop_path, self.depth, rows, generator(self.seed, stream, step))


def _later(view: int) -> tuple[int, ...]:
    """The stream index of a view: the first one has none."""
    return (view,) if view else ()


@dataclass(frozen=True)
class Cutter:
    """Cuts the model's inputs of some rows of the batch out of its draws."""

    views: Views
    small: Views | None
    local_mode: str
    device: torch.device

    def inputs(self, images: Tensor, draws: Draws, rows: slice) -> Inputs:
        """Inputs of the rows whose images, uint8 [B, 3, S, S], are given."""
        images = images.to(self.device, non_blocking=True)
        cut = [view[rows] for view in draws.views]
        return Inputs(
            views=_stack([self.views.apply(images, part) for part in cut]),
            count=len(cut),
            context=self._masks([part.context[rows] for part in draws.masks]),
            targets=self._masks([part.targets[rows] for part in draws.masks]),
            keep=self._keep(draws, draws.keep, rows),
            keep_whole=self._keep(draws, draws.keep_whole, rows),
        )

    def valid(self, draws: Draws, rows: slice) -> list[Tensor | None]:
        """The rows' valid cells per level, on the device."""
        index = draws.index(rows)
        return [None if level is None else level[index].to(self.device) for level in draws.valid]

    def _masks(self, parts: list[Tensor]) -> Tensor | None:
        return _stack(parts).to(self.device) if parts else None

    def _keep(self, draws: Draws, keep: Tensor | None, rows: slice, count: int | None = None) -> Tensor | None:
        return None if keep is None else keep[:, draws.index(rows, count)].to(self.device)


def _stack(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
