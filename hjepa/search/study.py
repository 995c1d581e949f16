"""A study: its keys, the experiment it starts from, and the checked space or design around it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
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
from hjepa.search.ablation.design_checks import check_claims, check_design
from hjepa.search.ablation.designs import Design, make_design
from hjepa.search.ablation.factors import parse_factors
from hjepa.search.schema import RESERVED, StudySpec, parse_spec, refuse_no_population
from hjepa.search.space import Space
from hjepa.search.space_file import parse_space

#: Configs of trials that a study keeps.
KEPT = 4096


@dataclass(frozen=True)
class Study:
    """A checked study. `base` is the baseline's Config (its seed is not used: `spec.seeds` are).

    `design` is an ablation's, whose `space` has no dimension; None in a search.
    """

    spec: StudySpec
    base: Config
    space: Space
    layers: tuple[Layer, ...]
    source: str
    design: Design | None = None
    #: Configs that were asked for: the same cells are checked, planned and counted.
    _configs: dict[str, Config] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        sets: Sequence[str] = (),
        trials: int | None = None,
        epochs: int | None = None,
        seeds: int | None = None,
    ) -> "Study":
        """A study file, with `path=value` settings of its base experiment and a budget from the command line.

        `seeds` is how many seeds each configuration runs on: the file's first, and where they do not
        suffice the smallest that are not among them. A study's own `study.yaml` is a study file too. Every
        cell, choice and bound is checked against the configuration's schema. Raises ConfigError with one
        line for each problem.
        """
        path = Path(path)
        return cls.parse(yaml12.read(path), path, sets=sets, trials=trials, epochs=epochs, seeds=seeds)

    @classmethod
    def parse(
        cls,
        tree: Any,
        path: Path,
        *,
        sets: Sequence[str] = (),
        trials: int | None = None,
        epochs: int | None = None,
        seeds: int | None = None,
    ) -> "Study":
        """The same of a file's content; `path` is where it lies, or would lie."""
        spec = parse_spec(tree, str(path))
        spec = _with_budget(spec, trials, epochs, str(path))
        spec = _with_seeds(spec, seeds)
        refuse_no_population(spec, str(path))
        own = Layer(f"settings of {path}", flatten(spec.settings or {}, str(path)))
        layers = (*_base_layers(spec, path), own, _set_layer(sets))
        if spec.budget.epochs is not None:
            layers += (Layer(f"budget.epochs of {path}", {"training.epochs": spec.budget.epochs}),)
        base = resolve(layers)
        if base.training.epochs < 1:
            raise ConfigError([problem("budget.epochs", base.training.epochs, "at least 1", source=str(path))])

        def config_of(assigned: Mapping[str, Any]) -> Config:
            return resolve([*layers, Layer(str(path), assigned)])

        if spec.ablation is not None:
            design = make_design(spec.ablation, parse_factors(spec.ablation.factors, str(path)), str(path))
            check_design(design, config_of, str(path))
            check_claims(spec, design, str(path))
            return cls(spec, base, Space((), values_of(base)), layers, str(path), design)
        space = parse_space(spec.space or {}, config_of, base, str(path))
        _check_sampler(spec, space, str(path))
        _check_population(spec, space, str(path))
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
        """Configurations to run, the baseline among them: a design's cells, else `budget.trials`, but no more
        than the space holds.
        """
        if self.design is not None:
            return self.design.size
        asked, size = self.spec.budget.trials, self.space.size()
        assert asked is not None
        return asked if size is None else min(asked, size)

    @property
    def warm_start(self) -> tuple[Path, ...]:
        """What the search starts from: absolute paths of studies and experiment files."""
        return tuple((Path(self.source).parent / name).absolute() for name in self.spec.warm_start)

    def seeds(self, index: int) -> tuple[int, ...]:
        """The seeds of one configuration: the study's, in an A/A study each label its own."""
        shift = self.design.cells[index].shift if self.design is not None and self.design.name == "a_a" else 0
        return tuple(seed + shift for seed in self.spec.seeds)

    def config(self, overrides: Mapping[str, Any], seed: int) -> Config:
        """The Config of one trial. Raises ConfigError for an impossible combination."""
        asked = json.dumps([dict(overrides), seed])
        if asked not in self._configs:
            if len(self._configs) >= KEPT:
                self._configs.clear()
            self._configs[asked] = resolve([*self.layers, Layer("trial", {**overrides, "seed": seed})])
        return self._configs[asked]

    def check(self, check: Callable[[Config], None]) -> None:
        """Pass the baseline, and one Config for every cell, or choice and bound of the space, through a deeper check.

        Raises ConfigError for what the check refuses, naming the choice that the base itself does not have.
        """
        check(self.base)
        if self.design is not None:
            self._check_cells(self.design, check)
        for dimension in self.space.dimensions:
            given = self.space.example(dimension) or {}
            for value in dimension.samples():
                try:
                    check(self.config({**given, dimension.path: value}, self.spec.seeds[0]))
                except ConfigError as error:
                    where = f"space.{dimension.path}: {shown(value)} cannot be"
                    raise ConfigError([f"{where}: {line} ({self.source})" for line in error.problems]) from None

    def _check_cells(self, design: Design, check: Callable[[Config], None]) -> None:
        for cell in design.samples:
            try:
                check(self.config(design.overrides(cell), self.spec.seeds[0]))
            except ConfigError as error:
                where = f"ablation: the cell {cell.name} cannot be"
                raise ConfigError([f"{where}: {line} ({self.source})" for line in error.problems]) from None

    def resolved(self) -> dict[str, Any]:
        """The content of study.yaml: every key written out, the base as {dotted path: value} of its live fields."""
        tree = self.spec.model_dump(mode="json", exclude={"base", "budget", "scheduler"})
        asked = self.spec.objective
        objectives = [one.plain() for one in (asked if isinstance(asked, tuple) else (asked,))]
        values = values_of(self.base)
        written: dict[str, Any] = {
            "study": self.name,
            "base": {p: v for p, v in values.items() if p not in RESERVED_BASE and live(knobs()[p], values) is None},
            "objective": objectives if len(objectives) > 1 else objectives[0],
            "budget": {**self.spec.budget.model_dump(mode="json"), "epochs": self.epochs},
            "scheduler": self.spec.scheduler.acting(),
        }
        if self.spec.limited:
            written["constraints"] = self.spec.limited
        if self.warm_start:
            written["warm_start"] = [str(source) for source in self.warm_start]
        keys = ("sampler", "space") if self.design is None else ("ablation", "claims")
        return written | {key: tree[key] for key in (*keys, "seeds", "resources", "faults", "max_concurrent")}


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
    if trials is not None and spec.ablation is not None:
        raise ConfigError([problem("--trials", trials, "only with a space; an ablation has --seeds", source=source)])
    given = {"trials": trials, "epochs": epochs}
    wrong = [
        problem(f"--{name}", value, "at least 1") for name, value in given.items() if value is not None and value < 1
    ]
    if wrong:
        raise ConfigError(wrong)
    budget = spec.budget.model_copy(update={name: value for name, value in given.items() if value is not None})
    return spec.model_copy(update={"budget": budget})


def _with_seeds(spec: StudySpec, seeds: int | None) -> StudySpec:
    if seeds is None:
        return spec
    if seeds < 1:
        raise ConfigError([problem("--seeds", seeds, "at least 1")])
    more = (seed for seed in count() if seed not in spec.seeds)
    return spec.model_copy(update={"seeds": (*spec.seeds, *islice(more, max(0, seeds - len(spec.seeds))))[:seeds]})


def _base_layers(spec: StudySpec, path: Path) -> tuple[Layer, ...]:
    if spec.base is None:
        return ()
    if not isinstance(spec.base, str):
        return (Layer(str(path), flatten(spec.base, str(path))),)
    file = path.parent / spec.base
    try:
        there = file.is_file()
    except OSError:  # a name that no system can hold
        there = False
    if not there:
        raise ConfigError([problem("base", spec.base, "an experiment file, relative to the study", source=str(path))])
    return (file_layer(file),)


def _set_layer(sets: Sequence[str]) -> Layer:
    """The settings of the base experiment given by `--set`."""
    layer = override_layer(sets, "--set")
    for path in RESERVED_BASE:
        if path in layer.values:
            raise ConfigError([problem(path, layer.values[path], f"only by {RESERVED[path]}", source="--set")])
    return layer


def _check_population(spec: StudySpec, space: Space, source: str) -> None:
    """Refuse what a population could not change, or its members not take of each other."""
    if spec.scheduler.type != "pbt":
        return
    dead = next((path for path in spec.scheduler.vary if space.base[path] == 0 and path not in space.paths), None)
    if dead is not None:
        raise ConfigError([problem("scheduler.vary", dead, f"rates above 0: {dead} is 0", source=source)])
    for path, off in (("optim.changes", None), ("evaluation.soup", "none")):
        if path in space.paths or space.base[path] != off:
            what = "a space of it" if path in space.paths else shown(space.base[path])
            raise ConfigError([f"{path}: got {what}; allowed {shown(off)} with scheduler.type pbt ({source})"])


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
