"""One optimiser step."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hjepa.config import OptimConfig
from hjepa.data import Mixing, mix_labels
from hjepa.models import HJEPA, Outputs
from hjepa.objectives import Material, Objective, explained
from hjepa.optim import Schedule, apply_rates
from hjepa.runtime.device import Device
from hjepa.training.draws import Cutter, Drawer, Draws
from hjepa.training.term_gradients import TermGradients
from hjepa.training.workers import Workers, quiet


@dataclass
class TrainStep:
    """Views -> masks -> predictions -> loss -> gradient -> optimiser -> target update.

    Draws are made for the whole batch and then cut, so micro-batches and workers add up to the same
    step. Losses are means over the batch, hence the parts' sums are exact (method G.1, G.2).
    """

    model: HJEPA
    parallel: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    drawer: Drawer
    cutter: Cutter
    device: Device
    workers: Workers
    config: OptimConfig
    micro_batch: int

    def draw(self, stored_size: int, step: int, batch: int | None = None) -> Draws:
        """The step's draws for `batch` images (None: `optim.batch_size`); a function of these alone and the seed."""
        return self.drawer.draw(batch or self.config.batch_size, stored_size, step)

    def __call__(
        self,
        images: Tensor,
        step: int,
        *,
        labels: Tensor | None = None,
        diagnose: bool = False,
        measure: bool = False,
    ) -> dict[str, Tensor | float]:
        """Train on this worker's share of a batch; step counts from 1.

        images: uint8 [B / workers, 3, S, S]; labels: int64 [B / workers], where a term needs them.
        Returns the named loss terms (of the whole batch), the weights of the levels, the schedule values
        and the gradient norm; with diagnose also the explained share per level, with measure the norm of
        each term's gradient on the encoder.
        """
        batch = len(images) * self.workers.world
        draws = self.draw(images.shape[-1], step, batch)
        rates = self.schedule.at(step, batch)
        apply_rates(self.optimiser, rates)
        by_term = TermGradients(self.model.encoder) if measure else None
        named, extra = self._gradients(images, labels, draws, step, diagnose, by_term)
        report: dict[str, Tensor | float] = {name: self.workers.total(value) for name, value in named.items()}
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if self.config.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.model.trainable().values(), self.config.clip_norm, norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.model.update_target(rates.momentum)
        report |= extra
        if by_term is not None:
            report |= by_term.norms(self.workers)
        if self.config.batch_schedule != "constant":
            report["batch"] = float(batch)
        report |= {"lr": rates.lr, "weight_decay": rates.weight_decay, "gradient_norm": norm}
        if self.model.target_encoder is not None:
            report["ema"] = rates.momentum
        return report

    def _gradients(
        self,
        images: Tensor,
        labels: Tensor | None,
        draws: Draws,
        step: int,
        diagnose: bool,
        by_term: TermGradients | None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor | float]]:
        """Accumulate the gradient of the batch's loss over micro-batches."""
        start, count, micro = self.workers.rows(draws.batch).start, len(images), self.micro_batch
        named: dict[str, Tensor] = {}
        extra: dict[str, Tensor | float] = {}
        for first in range(0, count, micro):
            part = slice(first, first + micro)
            rows = slice(start + first, start + min(first + micro, count))
            last = first + micro >= count
            with quiet(self.parallel, last):
                outputs = self.outputs(images[part], draws, rows)
                material = self._material(outputs, draws, rows, step)
                if labels is not None:
                    material = self._labelled(material, labels[part], draws.mixing)
                terms = self.objective(material)
                if by_term is not None:
                    by_term.add(terms.weighted)
                # DDP averages over workers; the parts' losses are to be added.
                (terms.total * self.workers.world).backward()  # type: ignore[no-untyped-call]
            for name, value in terms.named.items():
                named[name] = named[name] + value if name in named else value
        extra |= terms.facts
        if diagnose:
            for index, level in enumerate(outputs.levels):
                share = explained(level.prediction, level.target, level.cells, material.valid[index])
                extra[f"explained.level{index}"] = share
        return named, extra

    def outputs(self, images: Tensor, draws: Draws, rows: slice) -> Outputs:
        """What the model makes of the rows of the batch that `images` holds."""
        inputs = self.cutter.inputs(images, draws, rows)
        with self.device.autocast():
            outputs: Outputs = self.parallel(inputs)
        return outputs

    def _material(self, outputs: Outputs, draws: Draws, rows: slice, step: int) -> Material:
        return Material(
            predictions=[level.prediction for level in outputs.levels],
            targets=[level.target for level in outputs.levels],
            valid=self.cutter.valid(draws, rows),
            counts=draws.counts,
            local=None if outputs.local is None else (outputs.local.prediction, outputs.local.target),
            local_count=float(draws.around.numel()) if draws.around is not None else 1.0,
            log_variances=outputs.log_variances,
            embeddings=outputs.embeddings,
            logits=outputs.logits,
            views=draws.batch * len(draws.views),
            global_count=len(draws.views),
            share=(rows.stop - rows.start) / draws.batch,
            step=step,
        )

    def _labelled(self, material: Material, labels: Tensor, mixing: Mixing | None) -> Material:
        """The material with the labels of each view as distributions over classes."""
        assert material.logits is not None
        classes = material.logits.shape[1]
        share = self.objective.label_smoothing
        exact = nn.functional.one_hot(labels.to(material.logits.device), classes).float()
        smooth = exact * (1.0 - share) + share / classes
        if mixing is not None:
            smooth = mix_labels(smooth, mixing)
        views = len(material.logits) // len(labels)
        return replace(material, labels=smooth.repeat(views, 1))
