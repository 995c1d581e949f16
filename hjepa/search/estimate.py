"""What a study would take - time, device-hours, disk - from the measured cost of a few configurations."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hjepa.config import Config
from hjepa.overrides import ConfigError
from hjepa.search.ablation import outline
from hjepa.search.cost_classes import Key, Sample, cost_class, distinct, samples
from hjepa.search.durations import clock
from hjepa.search.plan import Plan
from hjepa.search.records import StudyRecords
from hjepa.search.stopping.expected import expected_share
from hjepa.search.stopping.population import intervals
from hjepa.search.stopping.rule import Rule
from hjepa.search.stopping.schedulers import make_rule

#: Classes that are measured at most, and seconds after which no further one is begun.
CLASSES, SECONDS = 12, 60.0
#: Starting Ray and a first process, and each trial beyond its own work, in seconds as measured on two cores (the
#: latter by `benchmarks/trial_overhead.py`).
STUDY_START, TRIAL_START = 20.0, 1.2


class Cost(Protocol):
    """What a whole run takes: seconds of training, of probes, before the first step; bytes of its checkpoint."""

    @property
    def training(self) -> float:
        """Seconds of training, on one worker."""
        ...

    @property
    def probes(self) -> float:
        """Seconds of all its probes."""
        ...

    @property
    def start(self) -> float:
        """Seconds before the first step."""
        ...

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes that it leaves."""
        ...


Measure = Callable[[Config], Cost]
#: Told before each class: how many are done, how many there are, and a configuration of the next.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Estimate:
    """A study's cost. `trials` are executed, beside the `ended` ones of its directory; training, probes and start are
    seconds of a mean trial at full budget.

    `low` and `high` are seconds of the cheapest and the dearest configuration; `share` is the part of the training
    that early stopping is expected to leave, `seconds` the study's time with it, `longest` without. Of `classes`
    that differ in cost, `measured` were; the others count as the baseline.
    """

    trials: int
    ended: int
    concurrent: int
    training: float
    probes: float
    start: float
    low: float
    high: float
    share: float
    seconds: float
    longest: float
    device_seconds: float
    checkpoint_bytes: float
    classes: int
    measured: int
    calibration: float

    @property
    def trial(self) -> float:
        """Seconds of a mean trial at full budget."""
        return self.training + self.probes + self.start


def estimate(plan: Plan, measure: Measure, progress: Progress | None = None, *, patience: float = SECONDS) -> Estimate:
    """Measure one configuration of each cost class, as far as `patience` (seconds) goes, and add up.

    Raises ConfigError when the baseline itself cannot be measured: missing data, a device that is not here.
    """
    found = samples(plan.study)
    classes = distinct(found)
    began = time.monotonic()
    costs = _measured(classes, measure, progress or _silent, began + patience)
    baseline = costs[cost_class(found[0].config)]
    if plan.study.design is not None:
        cells = [costs.get(cost_class(sample.config), baseline) for sample in found]
        factor, low, high = 1.0, min(map(_total, cells)), max(map(_total, cells))
    else:
        cells = [baseline]
        factor, *ends = _spread(found, costs)
        low, high = (_total(baseline) * end for end in ends)
    workers = plan.study.spec.resources.workers
    training = factor * statistics.fmean(cell.training for cell in cells) / workers
    probes = factor * statistics.fmean(cell.probes for cell in cells)
    start = (statistics.fmean(cell.start for cell in cells) + TRIAL_START) * (1 + _waits(plan))
    ended = _ended(plan)
    trials = max(0, executed(plan) - ended)
    share = stopping_share(plan)
    rounds = math.ceil(trials / plan.concurrent)
    longest = STUDY_START + rounds * (training + probes + start)
    used = trials * (share * (training + probes) + start)
    hurried = STUDY_START + max(used / plan.concurrent, training + probes + start)
    return Estimate(
        trials=trials,
        ended=ended,
        concurrent=plan.concurrent,
        training=training,
        probes=probes,
        start=start,
        low=low / workers,
        high=high / workers,
        share=share,
        seconds=(min(longest, hurried) if share < 1 else longest) if trials else 0.0,
        longest=longest if trials else 0.0,
        device_seconds=used * workers,
        checkpoint_bytes=trials * statistics.fmean(cell.checkpoint_bytes for cell in cells),
        classes=len(classes),
        measured=len(costs),
        calibration=time.monotonic() - began,
    )


def _silent(done: int, total: int, name: str) -> None:
    """Nobody watches."""


def _total(cost: Cost) -> float:
    return cost.training + cost.probes + cost.start


def _measured(classes: Mapping[Key, Sample], measure: Measure, progress: Progress, until: float) -> dict[Key, Cost]:
    """The cost of each class; a class that cannot be measured, or no longer in time, is left out, but not the first."""
    costs: dict[Key, Cost] = {}
    for done, (key, sample) in enumerate(classes.items()):
        if costs and (done >= CLASSES or time.monotonic() > until):
            break
        progress(done, min(len(classes), CLASSES), sample.name)
        try:
            costs[key] = measure(sample.config)
        except ConfigError:
            if not costs:
                raise
    return costs


def _spread(found: Sequence[Sample], costs: Mapping[Key, Cost]) -> tuple[float, float, float]:
    """How a configuration of the space differs from the baseline in cost: mean, least and largest ratio.

    Dimensions are taken to act independently, each choice or bound of one equally often.
    """
    ratios: dict[str, list[float]] = {}
    for sample in found:
        if sample.of is None or sample.beside is None:
            continue
        cost, beside = costs.get(cost_class(sample.config)), costs.get(cost_class(sample.beside))
        known = cost is not None and beside is not None
        ratios.setdefault(sample.of, []).append(_total(cost) / _total(beside) if known and cost and beside else 1.0)
    mean = math.prod(statistics.fmean(values) for values in ratios.values())
    return mean, math.prod(map(min, ratios.values())), math.prod(map(max, ratios.values()))


def _ended(plan: Plan) -> int:
    """Trials that the study's directory holds already, and that will not run again."""
    if not (plan.directory / "study.yaml").is_file():
        return 0
    trials = StudyRecords.open(plan.directory).trials_at(plan.study.epochs)
    return sum(trial.final and trial.duplicate_of is None for trial in trials)


def executed(plan: Plan) -> int:
    """Trials that would run: a configuration under two names runs once."""
    design = plan.study.design
    once = 0 if design is None else len(outline.shared(plan.study, design))
    return plan.trials - once * len(plan.study.spec.seeds)


def stopping_share(plan: Plan) -> float:
    """The part of all epochs that early stopping is expected to leave: its rule, replayed on made-up curves."""
    spec, base = plan.study.spec.scheduler, plan.study.base
    if make_rule(spec, base) is None:
        return 1.0
    reports = sorted({*range(base.probe_interval, plan.study.epochs, base.probe_interval), plan.study.epochs})
    return expected_share(lambda: _rule(plan), reports, plan.trials)


def _waits(plan: Plan) -> int:
    """How often every trial waits for the others, and then starts again where it stood: in a population."""
    spec = plan.study.spec.scheduler
    return len(intervals(spec, plan.study.base)) if spec.type == "pbt" else 0


def _rule(plan: Plan) -> Rule:
    rule = make_rule(plan.study.spec.scheduler, plan.study.base)
    assert rule is not None
    return rule


def render(found: Estimate) -> str:
    """The estimate as lines of the plan."""
    stopped = f"; at most {clock(found.longest)} if none stops early" if found.share < 1 else ""
    trials = f"{found.trials} trial{'s' * (found.trials != 1)}, {found.concurrent} at once"
    trials += f"; {found.ended} more have ended" if found.ended else ""
    parts = f"training {clock(found.training)}, probes {clock(found.probes)}, start-up {clock(found.start)}"
    wide = f"; from {clock(found.low)} to {clock(found.high)}" if found.high > 1.1 * found.low else ""
    rest = found.classes - found.measured
    unmeasured = f"; {rest} more count as the first" if rest else ""
    return "\n".join(
        [
            f"time         about {clock(found.seconds)} for {trials}{stopped}",
            f"a trial      about {clock(found.training + found.probes + found.start)}: {parts}{wide}",
            f"device-hours about {found.device_seconds / 3600:.2g}",
            f"disk         about {_size(found.checkpoint_bytes)} of checkpoints",
            f"calibration  {found.measured} of {found.classes} cost classes measured here, each alone, "
            f"in {found.calibration:.0f} s{unmeasured}",
        ]
    )


def _size(count: float) -> str:
    unit, name = next((u for u in ((1e9, "GB"), (1e6, "MB")) if count >= u[0]), (1e3, "kB"))
    return f"{count / unit:.3g} {name}"
