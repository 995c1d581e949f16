"""One optimiser step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hjepa.config import OptimConfig
from hjepa.data import ViewParameters, Views
from hjepa.masks import Masks, MaskSampler, level_targets
from hjepa.models import HJEPA, Level, draw_keep
from hjepa.objectives import JepaObjective, explained
from hjepa.optim import Schedule, apply_rates
from hjepa.runtime.device import Device
from hjepa.runtime.streams import generator
from hjepa.training.workers import Workers, quiet


@dataclass(frozen=True)
class Draws:
    """Every random draw of a step, for the whole batch over all workers."""

    views: ViewParameters
    masks: Masks
    valid: list[Tensor | None]
    counts: list[float]
    keep: Tensor | None


@dataclass
class TrainStep:
    """Views -> masks -> predictions -> loss -> gradient -> optimiser -> target update.

    Draws are made for the whole batch and then cut, so micro-batches and workers add up to the same
    step. Losses are means over the batch, hence the parts' sums are exact (method G.1, G.2).
    """

    model: HJEPA
    parallel: nn.Module
    objective: JepaObjective
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    views: Views
    masks: MaskSampler
    device: Device
    workers: Workers
    config: OptimConfig
    seed: int
    micro_batch: int | None

    def draw(self, stored_size: int, step: int) -> Draws:
        """The step's draws; a function of (seed, step) alone."""
        batch = self.config.batch_size
        masks = self.masks.draw(batch, self.seed, step)
        hierarchy = self.model.hierarchy
        above = level_targets(masks.targets, self.masks.grid, hierarchy.levels, hierarchy.child_rule)
        rate = self.model.encoder.drop_path
        return Draws(
            views=self.views.draw(batch, stored_size, self.seed, step),
            masks=masks,
            valid=[None, *above],
            counts=[float(masks.targets.numel()), *(float(level.sum()) for level in above)],
            keep=draw_keep(rate, len(self.model.encoder.blocks), batch, generator(self.seed, "drop_path", step))
            if rate > 0
            else None,
        )

    def __call__(self, images: Tensor, step: int, *, diagnose: bool = False) -> dict[str, Tensor | float]:
        """Train on this worker's share of a batch; step counts from 1.

        images: uint8 [B / workers, 3, S, S]. Returns the named loss terms (of the whole batch), the
        schedule values and the gradient norm; with diagnose also the explained share per level.
        """
        draws = self.draw(images.shape[-1], step)
        rates = self.schedule.at(step)
        apply_rates(self.optimiser, rates)
        named, extra = self._gradients(images, draws, diagnose)
        report: dict[str, Tensor | float] = {name: self.workers.total(value) for name, value in named.items()}
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if self.config.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.model.trainable().values(), self.config.clip_norm, norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.model.update_target(rates.momentum)
        report |= extra
        report |= {"lr": rates.lr, "weight_decay": rates.weight_decay, "ema": rates.momentum, "gradient_norm": norm}
        return report

    def _gradients(
        self, images: Tensor, draws: Draws, diagnose: bool
    ) -> tuple[dict[str, Tensor], dict[str, Tensor | float]]:
        """Accumulate the gradient of the batch's loss over micro-batches."""
        start, count = self.workers.rows(self.config.batch_size).start, len(images)
        micro = self.micro_batch or count
        named: dict[str, Tensor] = {}
        extra: dict[str, Tensor | float] = {}
        for first in range(0, count, micro):
            rows = slice(start + first, start + first + micro)
            last = first + micro >= count
            with quiet(self.parallel, last):
                levels, valid = self.predict(images[first : first + micro], draws, rows)
                terms = self.objective(
                    [level.prediction for level in levels], [level.target for level in levels], valid, draws.counts
                )
                # DDP averages over workers; the parts' losses are to be added.
                (terms.total * self.workers.world).backward()  # type: ignore[no-untyped-call]
            for name, value in terms.named.items():
                named[name] = named[name] + value if name in named else value
        if diagnose:
            for index, level in enumerate(levels):
                share = explained(level.prediction, level.target, level.cells, valid[index])
                extra[f"explained.level{index}"] = share
        return named, extra

    def predict(self, images: Tensor, draws: Draws, rows: slice) -> tuple[list[Level], list[Tensor | None]]:
        """Levels and valid cells of the rows of the batch that `images` holds."""
        device = self.device.device
        images = self.views.apply(images.to(device, non_blocking=True), draws.views[rows])
        masks = draws.masks[rows].to(device)
        keep = None if draws.keep is None else draws.keep[:, rows].to(device)
        with self.device.autocast():
            levels: list[Level] = self.parallel(images, masks.context, masks.targets, keep)
        valid = [None if level is None else level[rows].to(device) for level in draws.valid]
        return levels, valid
