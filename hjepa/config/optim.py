"""Optimiser, its schedules, and the size of a step."""

from typing import Annotated

from pydantic import Field

from hjepa.config.data import Fraction
from hjepa.config.fields import Section, knob

NonNegative = Annotated[float, Field(ge=0.0)]


class OptimConfig(Section):
    """AdamW and its schedules; every schedule is a function of the step alone."""

    batch_size: Annotated[int, Field(ge=2)] = knob(
        256, "Images per optimiser step, over all workers and micro-batches.", effect="training", flip=32
    )
    lr: Annotated[float, Field(gt=0.0)] = knob(1e-3, "Peak learning rate.", effect="training", flip=3e-4)
    lr_start: Fraction = knob(0.2, "Rate at the first step, as a share of the peak.", effect="training", flip=0.5)
    lr_end: Fraction = knob(1e-3, "Rate at the last step, as a share of the peak.", effect="training", flip=0.5)
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.1, "Share of the steps in which the rate rises linearly.", effect="training", flip=0.5
    )
    weight_decay: NonNegative = knob(0.05, "Weight decay at the first step.", effect="training", flip=0.5)
    weight_decay_end: NonNegative | None = knob(
        None, "Weight decay at the last step, reached by a cosine; null keeps it constant.", effect="training", flip=0.4
    )
    betas: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]] = knob(
        (0.9, 0.999), "AdamW's moment decay rates.", effect="training", flip=[0.8, 0.95]
    )
    clip_norm: Annotated[float, Field(gt=0.0)] | None = knob(
        1.0, "Clip the gradient to this norm; null does not clip.", effect="training", flip=0.01
    )
