"""Optimiser, its schedules, and the size of a step."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hjepa.config.data import Fraction
from hjepa.config.fields import Section, knob

NonNegative = Annotated[float, Field(ge=0.0)]
#: Optimisers whose learning rate follows a schedule beyond the warm-up.
SCHEDULED = {"optim.optimiser": ["adamw", "lars"]}
ADAPTIVE = {"optim.optimiser": ["adamw", "schedule_free"]}
LARS = {"optim.optimiser": ["lars"]}
RESTARTS = {**SCHEDULED, "optim.schedule": ["restarts"]}
GROWING = {"optim.batch_schedule": ["stepped", "linear"]}


class Change(Section):
    """Rates by which a run goes on otherwise than it was scheduled."""

    epoch: Annotated[int, Field(ge=0, description="From the start of the epoch that follows so many.")]
    lr: Annotated[float, Field(gt=0.0, description="Factor of the learning rate.")] = 1.0
    weight_decay: Annotated[float, Field(ge=0.0, description="Factor of the weight decay.")] = 1.0


class OptimConfig(Section):
    """Optimiser and schedules; every schedule is a function of the step alone.

    The rate of a step that trains on B images is

        lr * (batch_size / 256)^a * (B / batch_size)^b * schedule(step)

    with a from `lr_scaling`, b from `batch_lr` (none 0, sqrt 1/2, linear 1) and a schedule of peak 1.
    """

    optimiser: Literal["adamw", "schedule_free", "lars"] = knob(
        "adamw",
        "adamw; schedule_free: AdamW that averages its weights and needs no decaying rate; "
        "lars: momentum SGD with a rate for each weight matrix (give it an lr of about 0.2 and lr_scaling linear).",
        effect="training",
        flip="schedule_free",
        source="AdamW (arXiv 1711.05101); Schedule-Free (arXiv 2405.15682); LARS (arXiv 1708.03888)",
        proof="tests/training/test_optimisers_in_runs.py::test_a_resumed_run_is_the_whole_run",
        title="optimiser: AdamW, Schedule-Free AdamW, LARS",
    )
    batch_size: Annotated[int, Field(ge=2)] = knob(
        256, "Images per optimiser step, over all workers and micro-batches.", effect="training", flip=32
    )
    lr: Annotated[float, Field(gt=0.0)] = knob(
        1e-3, "Peak learning rate, before any scaling by the batch.", effect="training", flip=3e-4
    )
    lr_scaling: Literal["none", "linear", "sqrt"] = knob(
        "none",
        "Multiply the rate by (batch_size / 256), or by its square root.",
        effect="training",
        flip="linear",
        source="Goyal et al. 2017 (arXiv 1706.02677) for linear; Krizhevsky 2014 (arXiv 1404.5997) for sqrt",
        proof="tests/optim/test_rates.py::test_the_rate_scales_with_the_batch",
        title="learning rate by batch size",
    )
    schedule: Literal["cosine", "restarts", "constant", "wsd"] = knob(
        "cosine",
        "The rate after the warm-up. cosine: falls to lr_end; restarts: falls, jumps back and falls again; "
        "constant; wsd: stays, then falls linearly over the last steps.",
        effect="training",
        flip="restarts",
        when=SCHEDULED,
        source="SGDR (arXiv 1608.03983) for restarts; MiniCPM (arXiv 2404.06395) for warm-up, stable, decay",
        proof="tests/optim/test_rates.py::test_after_the_warm_up",
        title="learning-rate schedule",
    )
    lr_start: Fraction = knob(0.2, "Rate at the first step, as a share of the peak.", effect="training", flip=0.5)
    lr_end: Fraction = knob(
        1e-3,
        "Rate at the last step, as a share of the peak.",
        effect="training",
        flip=0.5,
        when={**SCHEDULED, "optim.schedule": ["cosine", "restarts", "wsd"]},
    )
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.1, "Share of the steps in which the rate rises linearly.", effect="training", flip=0.5
    )
    restart_period: Annotated[float, Field(ge=0.01, lt=1.0)] = knob(
        0.25,
        "Length of the first cycle, as a share of the steps after the warm-up.",
        effect="training",
        flip=0.5,
        when=RESTARTS,
        source="SGDR (arXiv 1608.03983), T_0",
        proof="tests/optim/test_schedules.py::test_restarts_around_the_first_period",
    )
    restart_mult: Annotated[int, Field(ge=1, le=10)] = knob(
        1,
        "Length of each cycle over that of the one before.",
        effect="training",
        flip=2,
        when=RESTARTS,
        source="SGDR (arXiv 1608.03983), T_mult",
        proof="tests/optim/test_schedules.py::test_restarts_are_those_of_torch",
    )
    decay_share: Annotated[float, Field(gt=0.0, le=1.0)] = knob(
        0.2,
        "Share of the steps, at the end, in which the rate falls.",
        effect="training",
        flip=0.5,
        when={**SCHEDULED, "optim.schedule": ["wsd"]},
        proof="tests/optim/test_schedules.py::test_the_stable_phase_ends_in_a_straight_line",
    )
    weight_decay: NonNegative = knob(0.05, "Weight decay at the first step.", effect="training", flip=0.5)
    weight_decay_end: NonNegative | None = knob(
        None, "Weight decay at the last step, reached by a cosine; null keeps it constant.", effect="training", flip=0.4
    )
    betas: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]] = knob(
        (0.9, 0.999), "Moment decay rates.", effect="training", flip=[0.8, 0.95], when=ADAPTIVE
    )
    lars_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.9,
        "Momentum of LARS.",
        effect="training",
        flip=0.5,
        when=LARS,
        proof="tests/optim/test_lars.py::test_steps_are_those_of_vicreg",
    )
    lars_trust: Annotated[float, Field(gt=0.0)] = knob(
        1e-3,
        "Trust coefficient: a weight matrix moves by about this share of its norm times the rate.",
        effect="training",
        flip=0.1,
        when=LARS,
        source="LARS (arXiv 1708.03888), equation 6; VICReg code, `eta`",
        proof="tests/optim/test_lars.py::test_the_first_step_of_a_matrix_is_a_share_of_its_norm",
    )
    clip_norm: Annotated[float, Field(gt=0.0)] | None = knob(
        1.0, "Clip the gradient to this norm; null does not clip.", effect="training", flip=0.01
    )
    batch_schedule: Literal["constant", "stepped", "linear"] = knob(
        "constant",
        "Let the images per step grow from batch_size to batch_growth times as many, by accumulation: "
        "at equal stages of the run, or steadily.",
        effect="training",
        flip="stepped",
        source="Smith et al. 2018 (arXiv 1711.00489)",
        proof="tests/training/test_optimisers_in_runs.py::test_a_grown_batch_is_the_step_of_one_large_batch",
        title="effective-batch schedule",
    )
    batch_growth: Annotated[int, Field(ge=2)] = knob(
        2,
        "Images of a step at the end of the run, over batch_size.",
        effect="training",
        flip=4,
        when=GROWING,
        proof="tests/training/test_optimisers_in_runs.py::test_a_growing_run_follows_its_plan",
    )
    batch_stages: Annotated[int, Field(ge=2)] = knob(
        2,
        "Stages of the run; from one to the next the batch grows by a constant factor.",
        effect="training",
        flip=3,
        when={"optim.batch_schedule": ["stepped"]},
        proof="tests/optim/test_batches.py::test_stages_multiply_the_batch",
    )
    batch_lr: Literal["none", "linear", "sqrt"] = knob(
        "none",
        "Multiply the rate of a step by its growth over batch_size, or by the square root of it.",
        effect="training",
        flip="linear",
        when=GROWING,
        proof="tests/optim/test_rates.py::test_the_rate_follows_a_growing_batch",
    )
    changes: tuple[Change, ...] | None = knob(
        None,
        "A list of {epoch: N, lr: factor, weight_decay: factor}: after N epochs the scheduled rates are multiplied by "
        "the factors, beside those before; so the members of a population are trained.",
        effect="training",
        flip=[{"epoch": 1, "lr": 0.5, "weight_decay": 2.0}],
        source="Population Based Training (arXiv 1711.09846)",
        proof="tests/optim/test_rates.py::test_changes_multiply_what_is_scheduled",
        title="changes of the rates in the course of a run",
    )

    @model_validator(mode="after")
    def _combinations(self) -> "OptimConfig":
        if self.optimiser == "schedule_free" and self.betas[0] == 0:
            raise ValueError(
                f"betas: got {list(self.betas)}; allowed a first rate above 0 with optim.optimiser schedule_free"
            )
        if self.optimiser != "schedule_free" and self.schedule == "wsd" and self.warmup + self.decay_share > 1:
            raise ValueError(
                f"decay_share: got {self.decay_share}; allowed at most {1 - self.warmup:g}, after the warm-up"
            )
        if self.changes is not None and not self.changes:
            raise ValueError("changes: got []; allowed null or a change")
        epochs = [change.epoch for change in self.changes or ()]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"changes: got the epochs {epochs}; allowed each once, in order")
        if any(change.lr == change.weight_decay == 1 for change in self.changes or ()):
            raise ValueError("changes: got a change without a factor; allowed lr or weight_decay other than 1")
        return self
