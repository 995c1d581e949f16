"""A study file's `scheduler` as a rule, its rungs in epochs, and what it does in words."""

import math
from collections.abc import Sequence

from hjepa.config import Config
from hjepa.search.sections import SchedulerSpec
from hjepa.search.stopping.brackets import Brackets
from hjepa.search.stopping.curve_rules import Median, Percentile
from hjepa.search.stopping.halving import Halving, Promotion
from hjepa.search.stopping.population import Intervals, intervals
from hjepa.search.stopping.rule import Rule


def grace_epochs(scheduler: SchedulerSpec, base: Config) -> int:
    """Epochs of the first rung: the grace, at least 1, rounded up to the probe interval, at most the budget."""
    interval = base.probe_interval
    wanted = max(1, math.ceil(scheduler.grace * base.training.epochs - 1e-9))
    return min(math.ceil(wanted / interval) * interval, base.training.epochs)


def rungs(scheduler: SchedulerSpec, base: Config) -> tuple[int, ...]:
    """Epochs at which asha and hyperband compare trials: grace x reduction^k below the budget."""
    if scheduler.type not in ("asha", "hyperband"):
        return ()
    found: list[int] = []
    milestone = grace_epochs(scheduler, base)
    while milestone < base.training.epochs:
        found.append(milestone)
        milestone *= scheduler.reduction
    return tuple(found)


def make_rule(scheduler: SchedulerSpec, base: Config) -> Rule | None:
    """The rule of a study; None where every trial runs to the end."""
    epochs, milestones, grace = base.training.epochs, rungs(scheduler, base), grace_epochs(scheduler, base)
    common = {"epochs": epochs, "min_trials": scheduler.min_trials, "patience": scheduler.patience}
    match scheduler.type:
        case "median":
            return Median(grace=grace, **common)
        case "percentile":
            return Percentile(scheduler.percentile, grace=grace, **common)
        case "pbt":
            return Intervals(intervals(scheduler, base), epochs=epochs)
        case "asha" if milestones:
            return _ladder(scheduler, milestones, epochs)
        case "hyperband" if milestones:
            return Brackets(
                milestones,
                lambda part: _ladder(scheduler, part, epochs),
                brackets=scheduler.brackets,
                reduction=scheduler.reduction,
                seed=scheduler.seed,
            )
    return None


def _ladder(scheduler: SchedulerSpec, milestones: Sequence[int], epochs: int) -> Rule:
    reduction, least = scheduler.reduction, scheduler.min_trials
    if scheduler.variant == "promotion":
        return Promotion(milestones, epochs=epochs, reduction=reduction, min_trials=least)
    patience = scheduler.patience
    return Halving(milestones, epochs=epochs, reduction=reduction, min_trials=least, patience=patience)


def _population_in_words(scheduler: SchedulerSpec, base: Config) -> str:
    epochs = intervals(scheduler, base)
    if not epochs:
        return "pbt, but no comparison lies below the budget: every trial runs to the end unchanged"
    factors = " or ".join(f"{factor:g}" for factor in scheduler.factors)
    return (
        f"pbt at epochs {', '.join(map(str, epochs))}: the worst {100 * scheduler.quantile:g} % go on from "
        f"checkpoints of the best {100 * scheduler.quantile:g} %, {' and '.join(scheduler.vary)} times {factors}"
    )


def in_words(scheduler: SchedulerSpec, base: Config) -> str:
    """What the scheduler does, for a plan."""
    if scheduler.type == "none":
        return "none: every trial runs to the end"
    if scheduler.type == "pbt":
        return _population_in_words(scheduler, base)
    milestones, grace = rungs(scheduler, base), grace_epochs(scheduler, base)
    once = f"once {scheduler.min_trials} trials have been there"
    late = f" and is still {scheduler.patience} epochs later" if scheduler.patience else ""
    if not milestones and scheduler.type in ("asha", "hyperband"):
        return f"{scheduler.type}, but no rung lies below the budget: every trial runs to the end"
    if grace + scheduler.patience >= base.training.epochs:
        waits = f", and {scheduler.patience} epochs of patience" if scheduler.patience else ""
        return f"{scheduler.type} from epoch {grace} on{waits}: that is the end, to which every trial runs"
    if scheduler.type in ("median", "percentile"):
        bar = {"median": "the median of the others", "percentile": f"percentile {scheduler.percentile:g}"}
        return f"{scheduler.type} from epoch {grace} on: a trial below {bar[scheduler.type]}{late} stops, {once}"
    share = f"the best 1/{scheduler.reduction}"
    if scheduler.variant == "promotion":
        verb = f"a trial pauses, and goes on when it is among {share} there"
    else:
        verb = f"a trial below {share}{late} stops"
    text = f"{scheduler.type} at epochs {', '.join(map(str, milestones))}: {verb}, {once}"
    if scheduler.type == "hyperband":
        count = min(scheduler.brackets, len(milestones) + 1)
        text += f"; {count} brackets, each without the first rung of the one before it"
    return text
