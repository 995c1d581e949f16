"""The sections of a study file: what it optimises, spends and takes, who proposes and who stops."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from hjepa.config import OBJECTIVES, Section
from hjepa.overrides import nearest
from hjepa.search.costs import COSTS, parse_limit

Seed = Annotated[int, Field(ge=0, lt=2**31)]


def _metric(name: str) -> str:
    known = (*OBJECTIVES, *COSTS)
    if name not in known:
        raise ValueError(f"{', '.join(OBJECTIVES)}; after the first {', '.join(COSTS)}{nearest(name, known)}")
    return name


def _limit(name: str) -> AfterValidator:
    def check(text: str) -> str:
        parse_limit(name, text)
        return text

    return AfterValidator(check)


def _factors(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values or 1.0 in values:
        raise ValueError("one or more factors other than 1")
    return values


def _different(paths: tuple[str, ...]) -> tuple[str, ...]:
    if not paths or len(set(paths)) != len(paths):
        raise ValueError("one or more different rates")
    return paths


class Objective(Section):
    """What a study optimises: a score on the hold-out, in a list after it also costs."""

    metric: Annotated[str, AfterValidator(_metric)] = Field(
        "probe.top1",
        description=f"One of {', '.join(OBJECTIVES)}; after the first of a list one of {', '.join(COSTS)}. memory is "
        "the peak of a trial, of an accelerator's memory or on a CPU of its whole process, in bytes.",
        json_schema_extra={"enum": [*OBJECTIVES, *COSTS]},
    )
    mode: Literal["max", "min"] = Field("max", description="max for scores and images_per_second, min for other costs.")
    at: Literal["final_budget", "best", "last"] = Field(
        "final_budget",
        description="Which score of a trial counts: its full probe after all epochs, which a trial that was stopped "
        "early has not; or, of all trials, the best or the last of the cheap probes at rungs.",
    )

    @model_validator(mode="after")
    def _fits(self) -> "Objective":
        right = COSTS[self.metric].mode if self.metric in COSTS else "max"
        if self.mode != right:
            raise ValueError(f"mode: got {self.mode}; allowed {right} for {self.metric}")
        if self.metric in COSTS and "at" in self.model_fields_set:
            raise ValueError(f"at: allowed only for a score; {self.metric} is that of a whole trial")
        return self

    def plain(self) -> dict[str, str]:
        """The keys that act, as plain data."""
        return self.model_dump(mode="json", exclude={"at"} if self.metric in COSTS else None)


class Constraints(Section):
    """Limits on what a trial costs (the mean over its seeds); a configuration beyond one cannot win."""

    memory: Annotated[str, _limit("memory")] | None = Field(
        None, description="Peak memory, such as '< 8 GB': an accelerator's, or on a CPU that of the whole process."
    )
    parameters: Annotated[str, _limit("parameters")] | None = Field(
        None, description="Trainable parameters, such as '< 3e6'; a proposal beyond it is refused before it runs."
    )
    device_hours: Annotated[str, _limit("device_hours")] | None = Field(
        None, description="Hours of devices, one for each worker, such as '< 0.5'."
    )
    images_per_second: Annotated[str, _limit("images_per_second")] | None = Field(
        None, description="Speed of training, such as '> 100'."
    )


class Budget(Section):
    """How much a study may spend."""

    epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Sets training.epochs of every trial; null keeps the base's."
    )
    trials: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Configurations of a search, the baseline among them; each runs once per seed."
    )
    hours: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Stop after this many hours; running the study again goes on."
    )
    device_hours: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Stop when the trials of all runs have had so many hours of devices, one for each worker."
    )
    total_epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Stop when the trials of all runs have had so many epochs together."
    )


class SamplerSpec(Section):
    """Who proposes configurations."""

    type: Literal["tpe", "random", "gp", "grid", "cmaes", "nsgaii"] = Field(
        "tpe",
        description="grid needs choices, integers or steps; cmaes numeric dimensions without conditions, one objective "
        "and no constraints; nsgaii several objectives.",
    )
    seed: Seed = Field(0, description="Seed of the proposals.")


class SchedulerSpec(Section):
    """Who stops trials early."""

    type: Literal["asha", "hyperband", "median", "percentile", "pbt", "none"] = Field(
        "asha",
        description="asha compares trials at rungs; hyperband draws a bracket of rungs for each configuration; "
        "median and percentile compare at every report; pbt trains all as one population, whose worst go on as changed "
        "copies of its best; none stops none.",
    )
    grace: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="First rung, as a fraction of the epochs (at least 1 epoch); before it nothing is stopped."
    )
    reduction: Annotated[int, Field(ge=2)] = Field(3, description="Ratio of rungs; one in this many goes on.")
    variant: Literal["stopping", "promotion"] = Field(
        "stopping",
        description="promotion pauses every trial at a rung; the best there are resumed from their checkpoints.",
    )
    brackets: Annotated[int, Field(ge=2)] = Field(
        3, description="Sets of rungs: all, all but the first, all but the first two, ... as far as there are rungs."
    )
    percentile: Annotated[float, Field(gt=0, lt=100)] = Field(
        25.0, description="A trial below this percentile of the scores of an epoch is stopped."
    )
    min_trials: Annotated[int, Field(ge=1)] = Field(4, description="Trials at a rung before it stops any.")
    patience: Annotated[int, Field(ge=0)] = Field(
        0, description="Epochs that a trial must stay below the bar before it is stopped: for late bloomers."
    )
    interval: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="The population is compared each time after this fraction of the epochs (at least 1 epoch)."
    )
    quantile: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.25, description="The share of the population (at least one) that is copied, and that copies."
    )
    factors: Annotated[tuple[Annotated[float, Field(gt=0)], ...], AfterValidator(_factors)] = Field(
        (0.8, 1.25), description="A copy's rates are each multiplied by one of these, drawn."
    )
    vary: Annotated[tuple[Literal["optim.lr", "optim.weight_decay"], ...], AfterValidator(_different)] = Field(
        ("optim.lr", "optim.weight_decay"), description="The rates that a copy changes, beyond the schedule of each."
    )
    seed: Seed = Field(0, description="Seed of the draws of brackets, and of whom a member copies and how it changes.")

    @model_validator(mode="after")
    def _only_what_acts(self) -> "SchedulerSpec":
        for name in sorted(self.model_fields_set - {"type"}):
            types = SCHEDULERS[name]
            if self.type not in types:
                raise ValueError(f"{name}: allowed only when scheduler.type is {' or '.join(types)}")
        if self.variant == "promotion" and self.patience:
            raise ValueError(f"patience: got {self.patience}; allowed only 0 with promotion: it stops nothing for good")
        return self

    def acting(self) -> dict[str, Any]:
        """The keys that act, as plain data: what makes two schedulers one."""
        return {key: value for key, value in self.model_dump(mode="json").items() if self.acts(key)}

    def acts(self, key: str) -> bool:
        """Whether a key does anything for this type."""
        pausing = self.variant == "promotion" and key == "patience"
        return key == "type" or (self.type in SCHEDULERS[key] and not pausing)


#: The types of scheduler for which each key acts.
SCHEDULERS = {
    "variant": ("asha", "hyperband"),
    "grace": ("asha", "hyperband", "median", "percentile"),
    "reduction": ("asha", "hyperband"),
    "brackets": ("hyperband",),
    "percentile": ("percentile",),
    "min_trials": ("asha", "hyperband", "median", "percentile"),
    "patience": ("asha", "hyperband", "median", "percentile"),
    "interval": ("pbt",),
    "quantile": ("pbt",),
    "factors": ("pbt",),
    "vary": ("pbt",),
    "seed": ("hyperband", "pbt"),
}


class Resources(Section):
    """What one trial takes of the cluster."""

    workers: Annotated[int, Field(ge=1)] = Field(1, description="Worker processes that share a trial's batch.")
    gpus: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "auto", description="Share of an accelerator per worker where there is one; auto: a whole one."
    )
    cpus: Annotated[int, Field(ge=1)] = Field(1, description="CPU cores per worker; also its threads on the CPU.")


class Faults(Section):
    """How often a trial is tried again that ended by no fault of its configuration, by what ended it; 0: never."""

    crash: Annotated[int, Field(ge=0)] = Field(
        2, description="Times that a trial goes on from its checkpoint after its process has died."
    )
    preempted: Annotated[int, Field(ge=0)] = Field(
        10, description="Times that a trial goes on from its checkpoint after its machine was lost."
    )
    out_of_memory: Annotated[int, Field(ge=0)] = Field(
        4, description="Times that a trial goes on with half the images a pass or fewer, and as many a step as before."
    )
    hung: Annotated[int, Field(ge=0)] = Field(
        1, description="Times that a trial goes on from its checkpoint after it was ended as hung."
    )
    hung_after: Annotated[float, Field(gt=0)] | None = Field(
        10.0,
        description="A trial that is silent for so many of its median epochs (before its first, of the study's) is "
        "hung, and ended; null: never.",
    )
    hung_seconds: Annotated[float, Field(gt=0)] = Field(300.0, description="None is hung before it is silent so long.")
