"""A study: its keys, the experiment it starts from, and the checked space around it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hjepa.config import Config
from hjepa.overrides import (
    ConfigError,
    Layer,
    file_layer,
    flatten,
    identity,
    knobs,
    live,
    override_layer,
    problem,
    resolve,
    shown,
    values_of,
    yaml12,
)
from hjepa.search.schema import RESERVED, StudySpec, parse_spec
from hjepa.search.space import Space
from hjepa.search.space_file import parse_space


@dataclass(frozen=True)
class Study:
    """A checked study. `base` is the baseline's Config (its seed is not used: `spec.seeds` are)."""

    spec: StudySpec
    base: Config
    space: Space
    layers: tuple[Layer, ...]
    source: str

    @classmethod
    def load(
        cls, path: Path | str, *, sets: Sequence[str] = (), trials: int | None = None, epochs: int | None = None
    ) -> "Study":
        """A study file, with `path=value` settings of its base experiment and a budget from the command line.

        A study's own `study.yaml` is a study file too. Every choice and bound of the space is checked
        against the configuration's schema. Raises ConfigError with one line for each problem.
        """
        path = Path(path)
        spec = parse_spec(yaml12.read(path), str(path))
        if trials is not None or epochs is not None:
            spec = _with_budget(spec, trials, epochs, str(path))
        own = Layer(f"settings of {path}", flatten(spec.settings or {}, str(path)))
        layers = (*_base_layers(spec, path), own, _set_layer(sets))
        if spec.budget.epochs is not None:
            layers += (Layer(f"budget.epochs of {path}", {"training.epochs": spec.budget.epochs}),)
        base = resolve(layers)
        if base.training.epochs < 1:
            raise ConfigError([problem("budget.epochs", base.training.epochs, "at least 1", source=str(path))])

        def config_of(assigned: Mapping[str, Any]) -> Config:
            return resolve([*layers, Layer(str(path), assigned)])

        space = parse_space(spec.space, config_of, base, str(path))
        _check_sampler(spec, space, str(path))
        return cls(spec, base, space, layers, str(path))

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.study

    @property
    def epochs(self) -> int:
        """Epochs of a trial at full budget."""
        return self.base.training.epochs

    @property
    def configurations(self) -> int:
        """Configurations to run, the baseline among them: `budget.trials`, but no more than the space holds."""
        size = self.space.size()
        return self.spec.budget.trials if size is None else min(self.spec.budget.trials, size)

    def config(self, overrides: Mapping[str, Any], seed: int) -> Config:
        """The Config of one trial. Raises ConfigError for an impossible combination."""
        return resolve([*self.layers, Layer("trial", {**overrides, "seed": seed})])

    def check(self, check: Callable[[Config], None]) -> None:
        """Pass the baseline, and one Config for every choice and bound of the space, through a deeper check.

        Raises ConfigError for what the check refuses, naming the choice that the base itself does not have.
        """
        check(self.base)
        for dimension in self.space.dimensions:
            given = self.space.example(dimension) or {}
            for value in dimension.samples():
                try:
                    check(self.config({**given, dimension.path: value}, self.spec.seeds[0]))
                except ConfigError as error:
                    where = f"space.{dimension.path}: {shown(value)} cannot be"
                    raise ConfigError([f"{where}: {line} ({self.source})" for line in error.problems]) from None

    def resolved(self) -> dict[str, Any]:
        """The content of study.yaml: every key written out, the base as {dotted path: value} of its live fields."""
        tree = self.spec.model_dump(mode="json", exclude={"base", "budget", "scheduler"})
        scheduler = self.spec.scheduler.model_dump(mode="json")
        values = values_of(self.base)
        written = {
            "study": self.name,
            "base": {p: v for p, v in values.items() if p not in RESERVED_BASE and live(knobs()[p], values) is None},
            "objective": tree["objective"],
            "budget": {**self.spec.budget.model_dump(mode="json"), "epochs": self.epochs},
            "sampler": tree["sampler"],
            "scheduler": scheduler if self.spec.scheduler.type == "asha" else {"type": "none"},
        }
        return written | {key: tree[key] for key in ("seeds", "space", "resources", "max_concurrent")}


#: Base settings that the study itself decides for each trial.
RESERVED_BASE = ("seed", "training.epochs")


def config_hash(config: Config, fingerprint: str) -> str:
    """The hash of a configuration whatever its seed: what the rows of several seeds share; 16 hex digits."""
    return identity(config.model_copy(update={"seed": 0}), fingerprint)


def trial_id(config: str, seed: int, copy: int = 0) -> str:
    """The name of a trial: stable over restarts. `copy` counts repeated proposals of one configuration."""
    return f"{config[:10]}-s{seed}" + (f"-d{copy}" if copy else "")


def cell_name(index: int) -> str:
    """The name of a search's configuration number: `baseline`, then c1, c2, ..."""
    return "baseline" if index == 0 else f"c{index}"


def _with_budget(spec: StudySpec, trials: int | None, epochs: int | None, source: str) -> StudySpec:
    given = {"trials": trials, "epochs": epochs}
    wrong = [
        problem(f"--{name}", value, "at least 1") for name, value in given.items() if value is not None and value < 1
    ]
    if wrong:
        raise ConfigError(wrong)
    budget = spec.budget.model_copy(update={name: value for name, value in given.items() if value is not None})
    return spec.model_copy(update={"budget": budget})


def _base_layers(spec: StudySpec, path: Path) -> tuple[Layer, ...]:
    if spec.base is None:
        return ()
    if not isinstance(spec.base, str):
        return (Layer(str(path), flatten(spec.base, str(path))),)
    file = path.parent / spec.base
    if not file.is_file():
        raise ConfigError([problem("base", spec.base, "an experiment file, relative to the study", source=str(path))])
    return (file_layer(file),)


def _set_layer(sets: Sequence[str]) -> Layer:
    """The settings of the base experiment given by `--set`."""
    layer = override_layer(sets, "--set")
    for path in RESERVED_BASE:
        if path in layer.values:
            raise ConfigError([problem(path, layer.values[path], f"only by {RESERVED[path]}", source="--set")])
    return layer


def _check_sampler(spec: StudySpec, space: Space, source: str) -> None:
    """Refuse a sampler that could not honour the space."""
    kind = spec.sampler.type
    if kind == "grid":
        endless = space.continuous()
        if endless or space.size() is None:
            what = f"{endless[0]} is a continuous range: give it a step" if endless else "the grid is too large"
            raise ConfigError(
                [f"sampler.type: got grid; allowed only over a space that can be listed; {what} ({source})"]
            )
    if kind == "cmaes":
        unfit = [d.path for d in space.dimensions if d.kind == "choice" or d.when]
        if unfit or len(space.dimensions) < 2:
            what = f"{unfit[0]} is none" if unfit else "the space has one dimension"
            allowed = "only over two or more numeric dimensions without conditions"
            raise ConfigError([f"sampler.type: got cmaes; allowed {allowed}; {what} ({source})"])
