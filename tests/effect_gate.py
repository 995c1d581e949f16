"""The effect gate's measuring part: one tiny run from YAML lines to weights and scores, and what two runs share."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch._dynamo.utils import counters
from torch.profiler import ProfilerActivity, profile

from hjepa.config.fields import holds
from hjepa.evaluation import Evaluator
from hjepa.evaluation.linear import ProbeScore
from hjepa.models import HJEPA, Inputs
from hjepa.overrides import ConfigError, Knob, Layer, file_layer, knobs, nest, resolve, values_of, yaml12
from hjepa.training import checkpoint, train
from hjepa.training.reporter import Silent
from hjepa.training.step import TrainStep

#: Two epochs of one step: the least that moves most schedules.
BASE: dict[str, Any] = {
    "data.train_size": 60,
    "model.size": None,
    "model.width": 24,
    "model.depth": 2,
    "model.heads": 2,
    "predictor.width": 24,
    "predictor.depth": 2,
    "hierarchy.child_rule": "any",
    "optim.batch_size": 48,
    "optim.warmup": 0.75,
    "training.epochs": 2,
    "evaluation.interval": 2,
    "runtime.device": "cpu",
    "runtime.precision": "fp32",
    "runtime.threads": 1,
    "runtime.checkpoint_interval": 2,
}
#: Two steps in each epoch.
LONGER = {"data.train_size": 100}
#: Encoders that differ from epoch to epoch, and get worse.
LIVELY = {"training.epochs": 4, "ema.start": 0.0, "ema.end": 0.0, "optim.lr": 0.1}
#: Settings in which a field has something to do; conditions named here are not varied.
SCENES: dict[str, dict[str, Any]] = {
    "data.workers": {"data.loading": "stream"},
    "runtime.threads": {"runtime.threads": 2},
    "runtime.log_interval": LONGER,
    "optim.schedule": {"optim.warmup": 0.0},
    "optim.lr_end": LONGER,
    "optim.restart_period": LONGER | {"optim.warmup": 0.0},
    "optim.restart_mult": {"optim.warmup": 0.0},
    "optim.decay_share": {"optim.warmup": 0.0},
    "optim.batch_schedule": LONGER,
    "optim.batch_growth": LONGER | {"optim.batch_size": 16},
    "optim.batch_stages": LONGER | {"optim.batch_size": 16},
    "optim.batch_lr": LONGER,
    "evaluation.soup": LONGER | LIVELY,
    "evaluation.average_last": LONGER | LIVELY,
}
#: What must change with a value that is no field's `flip`.
COMPANIONS: dict[tuple[str, Any], dict[str, Any]] = {
    ("data.dataset", "imagenet100"): {
        "data.folder": "shapes",
        "data.classes": "two_classes.txt",
        "data.image_size": 16,
        "data.train_size": 64,
    },
    ("data.dataset", "mixture"): {
        "data.mixture.digits": 1.0,
        "data.mixture.cifar10": 1.0,
        "data.mixture.cifar100": 1.0,
        "data.epoch_images": 96,
        "data.image_size": 16,
        "data.train_size": 64,
    },
}
#: What of a run shows that a runtime field acted.
OBSERVED = {
    "data.root": "root",
    "data.download": "downloads",
    "data.loading": "loaders",
    "data.cache": "cache",
    "data.workers": "loaders",
    "runtime.device": "device asked for",
    "runtime.precision": "dtypes",
    "runtime.attention": "kernels",
    "runtime.checkpointing": "activations computed",
    "runtime.compile": "graphs",
    "runtime.threads": "threads",
    "runtime.micro_batch": "forward passes",
    "runtime.log_interval": "step lines",
    "runtime.gradient_interval": "gradient lines",
    "runtime.checkpoint_interval": "checkpoints",
}
#: Fields of which the profiler must tell.
PROFILED = ("runtime.attention", "runtime.checkpointing")
#: Fields whose flip takes minutes, tried elsewhere.
APART = {"runtime.compile": "tests/models/test_compile.py"}
#: Parts of a run that a runtime field may move within its tolerance; all others are bit-equal.
NUMERIC = {"views", "losses", "weights", "scores"}
#: Relative tolerance of the losses; bf16 keeps 8 bits.
TOLERANCE = {"runtime.precision": 2e-2}
DEFAULT_TOLERANCE = 1e-4


@dataclass
class Trace:
    """What one run did: its parts, which decide the result, and what was seen of how it ran."""

    parts: dict[str, Any] = field(default_factory=lambda: {name: [] for name in LISTED})
    seen: dict[str, Any] = field(default_factory=dict)

    def add(self, part: str, value: Any) -> None:
        self.parts[part].append(value)

    def count(self, name: str) -> None:
        self.seen[name] = self.seen.get(name, 0) + 1

    def gather(self, name: str, value: Any) -> None:
        self.seen.setdefault(name, set()).add(value)


#: Fields of the model's inputs, by the part of the trace that shows them.
VIEWS = ("views", "student", "locals")
MASKS = ("context", "targets", "places", "around")
KEEPS = ("keep", "keep_whole", "keep_locals")
LISTED = ("images", "views", "masks", "drop path", "losses", "rates", "scores")


class _Scores(Silent):
    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def scores(self, metrics: dict[str, Any]) -> None:
        self.trace.add("scores", dict(metrics))


def run(
    base: Mapping[str, Any], flip: Mapping[str, Any], folder: Path, *, profiled: bool = False, scored: bool = True
) -> Trace:
    """`hjepa-train base.yaml` with the lines of flip.yaml over it, watched.

    profiled: its first step. scored: with its probes; else they find features, and fit nothing on them.
    """
    folder.mkdir(parents=True)
    trace = Trace()
    for name, settings in (("base", base), ("flip", flip)):
        (folder / f"{name}.yaml").write_text(yaml12.dump(nest(settings)))
    config = resolve([file_layer(folder / "base.yaml"), file_layer(folder / "flip.yaml")])
    trace.seen["device asked for"] = config.runtime.device
    compiled = counters["stats"]["unique_graphs"]
    with _watched(trace, profiled), nullcontext() if scored else _unscored(), threadpool_limits(1, user_api="blas"):
        train(config, folder / "run", progress=_Scores(trace))
    trace.seen["graphs"] = counters["stats"]["unique_graphs"] > compiled
    trace.parts["weights"] = torch.load(folder / "run" / "checkpoint.pt", weights_only=False)["model"]  # quicker
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    for kind in ("step", "gradient"):
        trace.seen[f"{kind} lines"] = [line["step"] for line in lines if line["kind"] == kind]
    return trace


@contextmanager
def _profiled(trace: Trace) -> Iterator[None]:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        yield
    names = [event.name for event in profiler.events()]
    trace.seen["kernels"] = {name for name in names if "scaled_dot_product" in name}
    trace.seen["activations computed"] = names.count("aten::gelu")


@contextmanager
def _watched(trace: Trace, profiled: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainStep, "__call__", _watched_step(trace, TrainStep.__call__, profiled))
        patch.setattr(HJEPA, "forward", _watched_forward(trace, HJEPA.forward))
        _watch_files(trace, patch)
        yield


def _watched_step(trace: Trace, step: Callable[..., Any], profiled: bool) -> Callable[..., Any]:
    def call(self: TrainStep, images: Tensor, number: int, **options: Any) -> Any:
        with _profiled(trace) if profiled and number == 1 else nullcontext():
            report = step(self, images, number, **options)
        trace.add("images", images.clone())
        rates = {name: report[name] for name in ("lr", "weight_decay", "ema") if name in report}
        trace.add("rates", rates)
        trace.add("losses", {name: float(value) for name, value in report.items() if name.startswith(("loss", "grad"))})
        trace.gather("threads", torch.get_num_threads())
        return report

    return call


def _watched_forward(trace: Trace, forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: HJEPA, inputs: Inputs) -> Any:
        if "start" not in trace.parts:
            trace.parts["start"] = {name: value.clone() for name, value in self.state_dict().items()}
        outputs = forward(self, inputs)
        trace.count("forward passes")
        for level in outputs.levels:
            trace.gather("dtypes", level.prediction.dtype)
        # Per image, so that a batch in parts reads as the whole one.
        for name, part, rows in (("views", VIEWS, 0), ("masks", MASKS, 0), ("drop path", KEEPS, 1)):
            given = [getattr(inputs, field) for field in part]
            count = max((value.shape[rows] for value in given if value is not None), default=0)
            for index in range(count):
                trace.add(name, tuple(None if v is None else _row(v, rows, index) for v in given))
        return outputs

    return call


@contextmanager
def _unscored() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "full", lambda *_: {"probe.top1": 0.5})
        patch.setattr(Evaluator, "pixels", lambda _: {})
        patch.setattr(Evaluator, "_score", lambda *_: (ProbeScore(0.5, 1.0, 0.0, True), 0.5))
        yield


def _row(value: Tensor, axis: int, index: int) -> Tensor | None:
    return value.select(axis, index).clone() if index < value.shape[axis] else None


def _watch_files(trace: Trace, patch: pytest.MonkeyPatch) -> None:
    """Record where data comes from and how often a checkpoint is written."""
    from hjepa.data import catalogue, dataset

    root, cache, loader, save = catalogue.data_root, dataset.cache_folder, dataset.DataLoader, checkpoint.save

    def watched_root(config: Any) -> Path | None:
        found = root(config)
        trace.gather("root", found)
        return found

    def watched_cache(config: Any) -> Path:
        found = cache(config)
        trace.gather("cache", found)
        return found

    def watched_loader(*arguments: Any, **options: Any) -> Any:
        trace.gather("loaders", options["num_workers"])
        return loader(*arguments, **options)

    def watched_save(*arguments: Any) -> None:
        trace.count("checkpoints")
        save(*arguments)

    patch.setattr(catalogue, "data_root", watched_root)
    patch.setattr(dataset, "cache_folder", watched_cache)
    patch.setattr(dataset, "DataLoader", watched_loader)
    patch.setattr(checkpoint, "save", watched_save)


def same(first: Any, second: Any) -> bool:
    """Bit-equal, through lists, tuples and mappings."""
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        both = isinstance(first, Tensor) and isinstance(second, Tensor)
        return both and first.shape == second.shape and bool(torch.equal(first, second))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)


def changed(first: Trace, second: Trace) -> set[str]:
    """The parts in which two runs differ."""
    return {part for part in first.parts | second.parts if not same(first.parts.get(part), second.parts.get(part))}


def fault(knob: Knob, first: Trace, second: Trace) -> str | None:
    """What is wrong with a field, whose flip turned the first run into the second; None when it is as it says."""
    moved = changed(first, second)
    if knob.effect == "training":
        return None if moved - {"scores"} else f"{knob.path}: a training field that does not move the training"
    if knob.effect == "evaluation":
        return None if moved == {"scores"} else f"{knob.path}: an evaluation field that moves {sorted(moved)}"
    observed = OBSERVED[knob.path]
    if first.seen.get(observed) == second.seen.get(observed):
        return f"{knob.path}: nothing shows that it acts ({observed}: {first.seen.get(observed)})"
    if knob.effect == "runtime_exact":
        return f"{knob.path}: an exact runtime field that moves {sorted(moved)}" if moved else None
    if moved - NUMERIC:
        return f"{knob.path}: a runtime field that moves {sorted(moved - NUMERIC)}"
    far = _far(first, second, TOLERANCE.get(knob.path, DEFAULT_TOLERANCE))
    return f"{knob.path}: {far} beyond tolerance" if far else None


def _far(first: Trace, second: Trace, tolerance: float) -> str | None:
    """The part that two runs of one seed have too different, if any."""
    for ours, theirs in zip(first.parts["losses"], second.parts["losses"], strict=True):
        for name in ours:
            # The gradient norm sums many small errors, hence the wider band.
            band = tolerance if name.startswith("loss") else 10 * tolerance
            if abs(ours[name] - theirs[name]) > band * abs(ours[name]):
                return f"{name} ({ours[name]} and {theirs[name]})"
    # AdamW moves a weight by at most about lr a step, whatever the size of its gradient.
    reach = 2 * sum(rates["lr"] for rates in first.parts["rates"])
    for name, weight in first.parts["weights"].items():
        if (weight - second.parts["weights"][name]).abs().max() > reach:
            return f"weight {name}"
    for ours, theirs in zip(first.parts["views"], second.parts["views"], strict=True):
        if any(a is not None and (a - b).abs().max() > 1e-4 for a, b in zip(ours, theirs, strict=True)):
            return "views"
    return None


def enable(path: str, value: Any) -> dict[str, Any]:
    """Settings that give a field this value, with what must change with it."""
    knob = knobs()[path]
    companions = COMPANIONS.get((path, value), {}) if isinstance(value, str) else {}
    return {path: value} | (dict(knob.together) if value == knob.flip else companions)


def scenes(knob: Knob) -> list[dict[str, Any]]:
    """Base settings in which the field is live: one for each value of its condition."""
    base = BASE | SCENES.get(knob.path, {})
    options = {path: _allowed(path, values, base) for path, values in knob.when.items()}
    preferred = {path: values[0] for path, values in options.items()}
    chosen = [preferred]
    for path, values in options.items():
        if path in SCENES.get(knob.path, {}):
            continue
        chosen += [preferred | {path: value} for value in values[1:]]
    return [base | _enabled(settings) for settings in chosen]


def _enabled(settings: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path, value in settings.items():
        merged |= enable(path, value)
    return merged


def _allowed(path: str, values: Any, base: Mapping[str, Any]) -> list[Any]:
    """The allowed values of a condition, the base's own first."""
    knob = knobs()[path]
    now = base.get(path, knob.default)
    if isinstance(values, str):  # any value but null, or any above 0
        return [now if holds(now, values) else knob.flip]
    return sorted(values, key=lambda value: (value != now, value != knob.flip))


def pair(knob: Knob, scene: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Base settings and the lines that flip the field; companions move beforehand where they can live without it.

    Raises ConfigError when the flip cannot be in this scene.
    """
    path = knob.path
    try:
        base = dict(scene) | dict(knob.together)
        now = values_of(resolve([Layer("scene", base)]))[path]
        flip: dict[str, Any] = {}
    except ConfigError:
        base = dict(scene)
        now = values_of(resolve([Layer("scene", base)]))[path]
        flip = dict(knob.together)
    flip[path] = knob.flip if knob.flip != now else knob.default
    resolve([Layer("scene", base), Layer("flip", flip)])
    return base, flip
