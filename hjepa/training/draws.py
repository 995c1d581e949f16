"""Every random draw of a step, for the whole batch over all workers, and the model's inputs cut from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hjepa.config import HierarchyConfig, ViewsConfig
from hjepa.data import Mixing, ViewParameters, Views, draw_mixing, mix_images, places
from hjepa.masks import Masks, MaskSampler, level_targets
from hjepa.models import Inputs, draw_keep
from hjepa.runtime.streams import generator


@dataclass(frozen=True)
class Draws:
    """Draws of V global views and L small crops of a batch, one entry for each view or crop.

    patch_size, places, around, noise: as in the model's `Inputs`, for the whole batch. mixing: of the images
    and their labels, where a term learns labels.

    valid: per level [V * batch, G] booleans or None for all, in the views' order; counts: valid cells
    of each level in the whole batch.
    """

    batch: int
    patch_size: int
    views: list[ViewParameters]
    locals: list[ViewParameters] = field(default_factory=list)
    masks: list[Masks] = field(default_factory=list)
    valid: list[Tensor | None] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    keep: Tensor | None = None
    keep_whole: Tensor | None = None
    keep_locals: Tensor | None = None
    places: Tensor | None = None
    around: Tensor | None = None
    noise: Tensor | None = None
    mixing: Mixing | None = None

    def index(self, rows: slice, count: int | None = None) -> Tensor:
        """Where the rows of a batch lie in what holds `count` views of it, view after view."""
        inside = torch.arange(rows.start, rows.stop)
        views = len(self.views) if count is None else count
        return torch.cat([view * self.batch + inside for view in range(views)] or [inside[:0]])


@dataclass(frozen=True)
class Drawer:
    """Draws for the configured views, masks (None: nothing is predicted), stochastic depth and patch size.

    masks: for each patch size that a step may have, or for none; patch_size: the model's; whole: the
    student also sees whole views; slot_width: channels of a slot. Every draw is a function of (seed, step)
    alone, from a stream of its own, so what is switched on or off leaves the others as they were.
    """

    config: ViewsConfig
    views: Views
    small: Views | None
    masks: Mapping[int, MaskSampler]
    hierarchy: HierarchyConfig
    drop_path: float
    depth: int
    patch_size: int
    patch_sizes: tuple[int, ...]
    whole: bool
    slot_width: int
    seed: int

    def draw(self, batch: int, stored_size: int, step: int) -> Draws:
        """The draws of step `step` for images stored at `stored_size` pixels."""
        count, size = self.config.globals, self._patch_size(step)
        views = [self.views.draw(batch, stored_size, self.seed, step, *_later(view)) for view in range(count)]
        small = self._locals(batch, stored_size, step)
        where = self._places(small, views[0], size)
        masks = self._masks(batch, size, step)
        valid, counts = self._levels(masks, size)
        return Draws(
            batch=batch,
            patch_size=size,
            views=views,
            locals=small,
            places=None if where is None else (where + 0.5) * (size / self.patch_size) - 0.5,
            around=None if where is None else _nearest(where, self.config.size // size),
            masks=masks,
            valid=valid,
            counts=counts,
            keep=self._keep("drop_path", count * batch, step) if masks else None,
            keep_whole=self._keep("drop_path.whole", count * batch, step) if self.whole else None,
            keep_locals=self._keep("drop_path.locals", self.config.locals * batch, step) if self.small else None,
            noise=self._noise(step),
            mixing=draw_mixing(self.config, self.seed, step),
        )

    def _patch_size(self, step: int) -> int:
        """Of this step, each as likely as the others (FlexiViT, arXiv 2212.08013, section 3.3)."""
        if len(self.patch_sizes) == 1:
            return self.patch_sizes[0]
        stream = generator(self.seed, "patch_size", step)
        return self.patch_sizes[int(torch.randint(len(self.patch_sizes), (), generator=stream))]

    def _masks(self, batch: int, size: int, step: int) -> list[Masks]:
        if not self.masks:
            return []
        return [self.masks[size].draw(batch, self.seed, step, view) for view in range(self.config.globals)]

    def _levels(self, masks: Sequence[Masks], size: int) -> tuple[list[Tensor | None], list[float]]:
        if not masks:
            return [], []
        targets = torch.cat([view.targets for view in masks])
        config = self.hierarchy
        above = level_targets(targets, self.masks[size].grid, config.levels, config.child_rule, config.pooling)
        valid, counts = [None, *above], [float(targets.numel()), *(float(level.sum()) for level in above)]
        if config.slots is not None:
            valid, counts = [*valid, None], [*counts, float(len(targets) * config.slots)]
        return valid, counts

    def _noise(self, step: int) -> Tensor | None:
        """Where the slots of this step start, the same for all images."""
        slots = self.hierarchy.slots
        if not self.masks or slots is None:
            return None
        return torch.randn(slots, self.slot_width, generator=generator(self.seed, "slots", step))

    def _locals(self, batch: int, stored_size: int, step: int) -> list[ViewParameters]:
        if self.small is None:
            return []
        # Indices from 2 on: the global views have none and 1.
        return [self.small.draw(batch, stored_size, self.seed, step, 2 + n) for n in range(self.config.locals)]

    def _places(self, small: Sequence[ViewParameters], first: ViewParameters, size: int) -> Tensor | None:
        """Where the small crops' patches lie in the first view's grid, [L * batch, P, 2], if they predict it.

        Both of patches of `size` pixels.
        """
        if not small or self.config.local_mode != "context":
            return None
        cells, grid = self.config.local_size // size, self.config.size // size
        return torch.cat([places(crop, first, cells, grid) for crop in small])

    def _keep(self, stream: str, rows: int, step: int) -> Tensor | None:
        if self.drop_path == 0:
            return None
        return draw_keep(self.drop_path, self.depth, rows, generator(self.seed, stream, step))


def _nearest(where: Tensor, grid: int) -> Tensor:
    """The quarter of a grid's cells nearest to the centre of each crop, [B, grid * grid / 4], in raster order.

    where: [B, P, 2] rows and columns of the crop's patches.
    """
    line = torch.arange(grid, dtype=torch.float32)
    cells = torch.cartesian_prod(line, line)
    distance = (cells - where.mean(1, keepdim=True)).square().sum(-1)
    return distance.topk(max(1, grid * grid // 4), largest=False).indices.sort(1).values


def _later(view: int) -> tuple[int, ...]:
    """The stream index of a view: the first one has none."""
    return (view,) if view else ()


@dataclass(frozen=True)
class Cutter:
    """Cuts the model's inputs of some rows of the batch out of its draws."""

    views: Views
    small: Views | None
    device: torch.device

    def inputs(self, images: Tensor, draws: Draws, rows: slice) -> Inputs:
        """Inputs of the rows whose images, uint8 [B, 3, S, S], are given."""
        images = images.to(self.device, non_blocking=True)
        cut = [view[rows] for view in draws.views]
        views = [self.views.apply(images, part) for part in cut]
        if draws.mixing is not None:
            views = [mix_images(view, draws.mixing) for view in views]
        crops = draws.index(rows, len(draws.locals))
        return Inputs(
            views=_stack(views),
            count=len(cut),
            student=self._corrupted(views, cut),
            context=self._masks([part.context[rows] for part in draws.masks]),
            targets=self._masks([part.targets[rows] for part in draws.masks]),
            keep=self._keep(draws, draws.keep, rows),
            keep_whole=self._keep(draws, draws.keep_whole, rows),
            locals=self._crops(images, draws, rows),
            keep_locals=self._keep(draws, draws.keep_locals, rows, len(draws.locals)),
            places=None if draws.places is None else draws.places[crops].to(self.device),
            around=None if draws.around is None else draws.around[crops].to(self.device),
            noise=None if draws.noise is None else draws.noise.to(self.device),
            patch_size=draws.patch_size,
        )

    def _corrupted(self, views: list[Tensor], params: list[ViewParameters]) -> Tensor | None:
        """What the student sees of the views; None where that is the views themselves."""
        changed = [self.views.corrupt(view, part) for view, part in zip(views, params, strict=True)]
        seen = [view for view in changed if view is not None]
        return _stack(seen) if seen else None

    def _crops(self, images: Tensor, draws: Draws, rows: slice) -> Tensor | None:
        if self.small is None:
            return None
        return _stack([self.small.apply(images, crop[rows]) for crop in draws.locals])

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
