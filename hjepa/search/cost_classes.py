"""Which configurations cost the same: what a plan has to measure of a study, and no more.

Off means absent, so a number matters to the cost mostly by being above 0 or not, while choices and counts matter
by their value. What is not known here to be free makes a class of its own: that costs a measurement, and no error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hjepa.config import Config
from hjepa.overrides import ConfigError, knobs, live, values_of
from hjepa.search.study import Study

#: Numbers that cost by their value: they decide how many images, tokens or weights there are.
GRADED = ("data.holdout", "model.mlp_ratio", "masks.target_scale", "masks.target_ratio", "masks.context_scale")
#: Choices and counts that cost nothing.
FREE = (
    *("seed", "data.split_seed", "data.root", "data.download", "data.cache", "evaluation.knn_k"),
    *("views.randaugment_magnitude", "views.flip", "model.init", "model.depth_rescale", "model.rope_theta"),
    *("objective.loss", "objective.normalise_targets", "objective.vicreg.cov_reduction", "objective.sigreg.scale_by_n"),
    *("hierarchy.renormalise", "optim.lr_scaling", "optim.schedule", "optim.restart_mult", "optim.batch_lr"),
    *("optim.weight_decay", "optim.weight_decay_end", "optim.clip_norm", "ema.start", "ema.end"),
    *("runtime.log_interval", "optim.lr", "optim.lr_start", "optim.lr_end", "optim.warmup", "optim.betas"),
)

Key = tuple[tuple[str, str], ...]


def cost_class(config: Config) -> Key:
    """What decides the cost of a configuration: equal for two that cost the same."""
    values = values_of(config)
    graded = {
        path: _grade(path, values[path])
        for path, knob in knobs().items()
        if path not in FREE and live(knob, values) is None
    }
    return tuple((path, repr(value)) for path, value in graded.items())


def _grade(path: str, value: Any) -> Any:
    if path in GRADED:
        return value
    if isinstance(value, list):
        return [_grade(path, item) for item in value]
    return value > 0 if isinstance(value, float) else value


@dataclass(frozen=True)
class Sample:
    """A configuration to measure. `of` is the dimension that it shows an end of, `beside` what it is compared with
    there; both None for the baseline of a search, and the cells of an ablation.
    """

    name: str
    config: Config
    of: str | None = None
    beside: Config | None = None


def samples(study: Study) -> list[Sample]:
    """What there is to measure: every distinct cell; of a search the baseline, and each choice or bound."""
    seed = study.spec.seeds[0]
    if study.design is not None:
        cells = study.design.samples
        return [Sample(cell.name, study.config(study.design.overrides(cell), seed)) for cell in cells]
    found = [Sample("baseline", study.config({}, seed))]
    for dimension in study.space.dimensions:
        given: Mapping[str, Any] = study.space.example(dimension) or {}
        try:
            beside = study.config(given, seed)
        except ConfigError:  # what it depends on cannot be without it
            beside = found[0].config
        found += [
            Sample(f"{dimension.path}={value}", config, dimension.path, beside)
            for value in dimension.samples()
            if (config := _config(study, {**given, dimension.path: value})) is not None
        ]
    return found


def _config(study: Study, overrides: Mapping[str, Any]) -> Config | None:
    """None where a choice is impossible beside the base."""
    try:
        return study.config(overrides, study.spec.seeds[0])
    except ConfigError:
        return None


def distinct(found: Sequence[Sample]) -> dict[Key, Sample]:
    """One sample of each class, in order: what the samples are, then what they are compared with."""
    classes: dict[Key, Sample] = {}
    for sample in found:
        classes.setdefault(cost_class(sample.config), sample)
    for sample in found:
        if sample.beside is not None:
            classes.setdefault(cost_class(sample.beside), Sample(f"beside {sample.name}", sample.beside))
    return classes
