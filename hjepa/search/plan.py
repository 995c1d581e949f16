"""What a study would run, worked out and printed before anything runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hjepa.config import Config
from hjepa.config.fields import in_words
from hjepa.overrides import ConfigError, shown
from hjepa.search import budget
from hjepa.search.ablation import outline
from hjepa.search.goals import Goals
from hjepa.search.records import StudyRecords
from hjepa.search.sections import Resources
from hjepa.search.space import Dimension
from hjepa.search.stopping import schedulers
from hjepa.search.stopping.schedulers import rungs
from hjepa.search.study import Study


@dataclass(frozen=True)
class Plan:
    """A study on a cluster: `gpus` is a worker's resolved share, `concurrent` the trials at once."""

    study: Study
    directory: Path
    cluster: Mapping[str, float]
    gpus: float
    concurrent: int

    @property
    def trials(self) -> int:
        """Configurations times seeds."""
        return self.study.configurations * len(self.study.spec.seeds)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which a trial may be stopped."""
        return rungs(self.study.spec.scheduler, self.study.base)


def make_plan(study: Study, directory: Path, cluster: Mapping[str, float]) -> Plan:
    """The plan of a study on a cluster of these total resources (`{"CPU": 8, "GPU": 1}`).

    Raises ConfigError when not even one trial fits.
    """
    gpus = gpu_share(study.spec.resources, study.base, cluster)
    concurrent = concurrency(study.spec.resources, gpus, cluster)
    return Plan(study, directory, cluster, gpus, min(concurrent, study.spec.max_concurrent or concurrent))


def gpu_share(resources: Resources, base: Config, cluster: Mapping[str, float]) -> float:
    """The accelerator share of one worker: nothing without an accelerator or when the base runs on the CPU."""
    if base.runtime.device == "cpu" or cluster.get("GPU", 0) <= 0:
        return 0.0
    return 1.0 if resources.gpus == "auto" else resources.gpus


def per_trial(resources: Resources, gpus: float) -> dict[str, float]:
    """All that one trial takes, over its workers."""
    need: dict[str, float] = {"CPU": resources.workers * resources.cpus}
    return need | ({"GPU": resources.workers * gpus} if gpus else {})


def concurrency(resources: Resources, gpus: float, cluster: Mapping[str, float]) -> int:
    """Trials that fit at once: the least, over the resources, of floor(total / need of a trial).

    Raises ConfigError, naming the resource, when that is 0. Ray Tune does not know what the workers of a
    trial need, so this number is what keeps trials from starving each other.
    """
    need = per_trial(resources, gpus)
    fits = {name: math.floor(cluster.get(name, 0) / amount + 1e-9) for name, amount in need.items()}
    scarce = min(fits, key=lambda name: fits[name])
    if fits[scarce] < 1:
        asked = f"{resources.workers} x {resources.cpus if scarce == 'CPU' else gpus:g}"
        raise ConfigError(
            [
                f"resources.{'cpus' if scarce == 'CPU' else 'gpus'}: a trial needs {need[scarce]:g} {scarce} "
                f"(workers x each: {asked}); allowed at most the cluster's {cluster.get(scarce, 0):g}"
            ]
        )
    return fits[scarce]


def render(plan: Plan) -> str:
    """The plan as text, a line a fact."""
    study, spec = plan.study, plan.study.spec
    lines = [
        f"study        {study.name} ({study.source})",
        f"objective    {Goals.of(study.resolved()).in_words(study.epochs)} (scores on the hold-out)",
        f"trials       {_trials(plan)}",
        f"epochs       {study.epochs} a trial; cheap probe every {study.base.probe_interval}",
        f"stopping     {schedulers.in_words(spec.scheduler, study.base)}{_by_score(study)}",
        f"resources    {_resources(plan)}",
        f"results      {plan.directory}",
    ]
    lines[3:3] = _budget(plan)
    if study.design is not None:
        return "\n".join([*lines, *outline.lines(study, plan.directory)])
    lines.insert(len(lines) - 2, f"sampler      {_sampler(plan)}")
    lines.append("space")
    lines += [f"  {line}" for dimension in study.space.dimensions for line in _dimension(dimension, plan)]
    return "\n".join(lines)


def _by_score(study: Study) -> str:
    """What stopping means for several objectives."""
    goals = Goals.of(study.resolved())
    if not goals.several or study.spec.scheduler.type == "none":
        return ""
    return f"; by {goals.metric} alone: what scores less is stopped, however cheap"


def _sampler(plan: Plan) -> str:
    spec = plan.study.spec
    text = f"{spec.sampler.type}, seed {spec.sampler.seed}; the baseline runs first"
    if spec.scheduler.type == "pbt" and spec.sampler.type == "tpe" and not spec.warm_start:
        text += "; at random, as a whole population is proposed before any of it has a score"
    return text


def _trials(plan: Plan) -> str:
    spec, count = plan.study.spec, plan.study.configurations
    seeds = len(spec.seeds)
    text = (
        f"{plan.trials} = {count} configuration{'s' * (count > 1)} (baseline first) x {seeds} seed{'s' * (seeds > 1)}"
    )
    text += f" {shown(list(spec.seeds))}"
    once = _repeated(plan.study)
    if once:
        text += f"; {once * seeds} of them are answered by another's: one configuration under two names runs once"
    if spec.budget.trials is not None and count < spec.budget.trials:
        text += f"; budget.trials {spec.budget.trials} is capped, as the space holds no more"
    if spec.budget.hours is not None:
        text += f"; stops after {spec.budget.hours:g} h"
    return text


def _budget(plan: Plan) -> list[str]:
    """What is spent and left of the budget that is counted in the records; nothing where there is none."""
    asked = plan.study.spec.budget
    if asked.device_hours is None and asked.total_epochs is None:
        return []
    there = StudyRecords.open(plan.directory) if (plan.directory / "study.yaml").is_file() else None
    known = [] if there is None else there.all_trials()
    spent = budget.spent_in(known, plan.study.spec.resources.workers)
    return [f"budget       {budget.in_words(budget.parts(asked, spent))}"]


def _repeated(study: Study) -> int:
    """Cells of an ablation that are the configuration of another cell; 0 in a search."""
    return 0 if study.design is None else len(outline.shared(study, study.design))


def _resources(plan: Plan) -> str:
    resources = plan.study.spec.resources
    total = ", ".join(f"{plan.cluster.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    each = f"{resources.workers} worker{'s' * (resources.workers > 1)} of {resources.cpus} CPU and {plan.gpus:g} GPU"
    limit = f" (max_concurrent {plan.study.spec.max_concurrent})" if plan.study.spec.max_concurrent else ""
    return f"{each} a trial; {plan.concurrent} at once on {total}{limit}"


def _dimension(dimension: Dimension, plan: Plan) -> list[str]:
    """A dimension, its baseline value, and the condition under which it exists."""
    if dimension.kind == "choice":
        domain = shown(list(dimension.choices))
    else:
        step = "" if dimension.step is None else f" step {dimension.step:g}"
        domain = f"{dimension.low:g} to {dimension.high:g}{step}"
    base = shown(plan.study.space.base[dimension.path])
    lines = [f"{dimension.path}: {dimension.kind} {domain}; baseline {base}"]
    for path, allowed in dimension.when.items():
        origin = " (automatic: otherwise it does nothing)" if path in dimension.automatic else ""
        lines.append(f"    only when {path} {in_words(allowed, shown)}{origin}")
    return lines
