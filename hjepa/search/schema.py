"""The keys of a study file, and their errors as one line each."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from hjepa.config import Section
from hjepa.overrides import ConfigError, knobs, nearest, problem, shown
from hjepa.search.ablation.keys import AblationSpec, ClaimSpec
from hjepa.search.costs import COSTS
from hjepa.search.sections import (
    Budget,
    Constraints,
    Faults,
    Objective,
    Resources,
    SamplerSpec,
    SchedulerSpec,
    Seed,
)
from hjepa.search.space import KINDS

#: Fields that a space may not vary: what decides them instead.
RESERVED = {
    "seed": "the study's seeds",
    "training.epochs": "budget.epochs or --epochs",
    "evaluation.interval": "the base experiment (it places the rungs)",
}


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("letters, digits, '.', '_' and '-', at most 100, a letter or digit first")
    return name


def _seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError("one or more different seeds")
    return seeds


#: The two forms of `objective`, which the place of an error names too.
_ONE, _SEVERAL = "<one>", "<several>"
Objectives = Annotated[
    Annotated[Objective, Tag(_ONE)] | Annotated[tuple[Objective, ...], Tag(_SEVERAL)],
    Discriminator(lambda value: _SEVERAL if isinstance(value, list | tuple) else _ONE),
]


def _space_schema(schema: dict[str, Any]) -> None:
    """For editors: which paths a space may hold, and what a dimension looks like."""
    bounds = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    kinds = {kind: {"type": "array", "minItems": 2} if kind == "choice" else bounds for kind in KINDS}
    schema["propertyNames"] = {"enum": searchable()}
    schema["additionalProperties"] = {
        "type": "object",
        "properties": {**kinds, "step": {"type": "number"}, "when": {"type": "object"}},
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in KINDS],
    }


def searchable() -> list[str]:
    """Paths that a space may hold: all that changes a result, but for what the study itself decides."""
    return [path for path, knob in knobs().items() if path not in RESERVED and not knob.effect.startswith("runtime")]


class StudySpec(Section):
    """A study file: a search over a space of configurations around one experiment, or an ablation of factors."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["space"]}, {"required": ["ablation"]}]})

    study: Annotated[str, AfterValidator(_name)] = Field(..., description="Its name; also of its MLflow experiment.")
    base: str | dict[str, Any] | None = Field(
        None,
        description="Experiment file (relative to this file) or settings that every trial starts from; null: defaults.",
    )
    settings: dict[str, Any] | None = Field(
        None, description="Settings of every trial, over the base experiment's; --set goes over both."
    )
    warm_start: tuple[str, ...] = Field(
        (),
        description="Directories of earlier studies, whose trials the sampler knows from the start, and experiment "
        "files, which are tried first; relative to this file.",
    )
    objective: Objectives = Field(
        Objective(), description="A score, or a list of objectives: a score, then costs to be traded for it."
    )
    constraints: Constraints = Constraints()
    budget: Budget = Budget()
    sampler: SamplerSpec = SamplerSpec()
    scheduler: SchedulerSpec = SchedulerSpec()
    seeds: Annotated[tuple[Seed, ...], AfterValidator(_seeds)] = Field(
        (0,), description="Each configuration runs on all."
    )
    space: dict[str, Any] | None = Field(
        None, description="Dotted configuration path: {choice: [...]} or a range.", json_schema_extra=_space_schema
    )
    ablation: AblationSpec | None = Field(None, description="In place of a space: factors and a design over them.")
    claims: tuple[ClaimSpec, ...] = Field((), description="Effects that an ablation is expected to show.")
    resources: Resources = Resources()
    faults: Faults = Faults()
    max_concurrent: Annotated[int, Field(ge=1)] | None = Field(
        None, description="At most so many trials at once; null: as many as the cluster holds."
    )

    @property
    def score(self) -> Objective:
        """The objective; of several the first."""
        return self.objective[0] if isinstance(self.objective, tuple) else self.objective

    @property
    def limited(self) -> dict[str, str]:
        """The constraints that are set."""
        return self.constraints.model_dump(mode="json", exclude_none=True)


def parse_spec(tree: Any, source: str) -> StudySpec:
    """The checked keys of a study file. Raises ConfigError with one line for each problem."""
    if not isinstance(tree, Mapping):
        raise ConfigError([f"{source}: allowed a mapping of study keys; got {shown(tree)}"])
    try:
        return _one_kind(StudySpec.model_validate_json(json.dumps(tree), strict=True), source)
    except TypeError as error:
        raise ConfigError([f"a value is not plain YAML data: {error} ({source})"]) from error
    except ValidationError as error:
        raise ConfigError(_problems([dict(entry) for entry in error.errors()], tree, source)) from None


def _one_kind(spec: StudySpec, source: str) -> StudySpec:
    """A spec that is either a search or an ablation, which stops no trial early unless it is asked to."""
    given = spec.model_fields_set
    problems = []
    if (spec.space is None) == (spec.ablation is None):
        what = "missing" if spec.space is None else "got both"
        problems.append(f"space: {what}; every study needs either a space or an ablation")
    elif spec.space is not None:
        if spec.budget.trials is None:
            problems.append("budget.trials: missing; every search needs it")
        if spec.claims:
            problems.append("claims: allowed only with an ablation")
    else:
        if spec.budget.trials is not None:
            problems.append(f"budget.trials: got {spec.budget.trials}; allowed only with a space: an ablation runs all")
        only = "allowed only with a space: the design says what an ablation runs"
        problems += [f"{key}: {only}" for key in ("sampler", "warm_start") if key in given]
        if "scheduler" not in given:
            spec = spec.model_copy(update={"scheduler": SchedulerSpec(type="none")})
    if spec.scheduler.variant == "promotion" and spec.resources.workers > 1:
        problems.append(f"resources.workers: got {spec.resources.workers}; allowed 1 with scheduler.variant promotion")
    problems += _wrong_goals(spec)
    if problems:
        raise ConfigError([f"{line} ({source})" for line in problems])
    return spec


def refuse_no_population(spec: StudySpec, source: str) -> None:
    """Raise ConfigError for what keeps a study, as the command line asks for it, from training as one population."""
    if spec.scheduler.type != "pbt":
        return
    problems = []
    if spec.ablation is not None:
        problems.append("scheduler.type: got pbt; allowed only with a space: the cells of an ablation copy nothing")
    if spec.resources.workers > 1:
        problems.append(f"resources.workers: got {spec.resources.workers}; allowed 1 with scheduler.type pbt")
    if len(spec.seeds) > 1:
        problems.append(f"seeds: got {shown(list(spec.seeds))}; allowed one with scheduler.type pbt, which all share")
    if spec.budget.trials == 1:
        problems.append("budget.trials: got 1; allowed at least 2 with scheduler.type pbt: one has nobody to copy")
    if spec.sampler.type == "cmaes" or (spec.sampler.type == "gp" and not spec.warm_start):
        why = "all are proposed before any has a score"
        problems.append(f"sampler.type: got {spec.sampler.type}; allowed tpe, random or grid with pbt: {why}")
    if problems:
        raise ConfigError([f"{line} ({source})" for line in problems])


def _wrong_goals(spec: StudySpec) -> list[str]:
    """What does not go with the study's objectives and constraints."""
    names = [one.metric for one in (spec.objective if isinstance(spec.objective, tuple) else [spec.objective])]
    several = len(names) > 1
    if not names or names[0] in COSTS or any(name not in COSTS for name in names[1:]) or len(set(names)) < len(names):
        return [problem("objective", names, f"a score, then different ones of {', '.join(COSTS)}")]
    limited = bool(spec.limited)
    kind, problems = spec.sampler.type, []
    if spec.ablation is not None or spec.scheduler.type == "pbt":
        what = "an ablation" if spec.ablation is not None else "scheduler.type pbt"
        if several:
            problems.append(f"objective: got {len(names)}; allowed one with {what}")
        if spec.score.at != "final_budget":
            problems.append(f"objective.at: got {spec.score.at}; allowed final_budget with {what}")
        if limited:
            problems.append(f"constraints: allowed only in a search, without {what}")
    if kind == "nsgaii" and not several:
        problems.append("sampler.type: got nsgaii; allowed only with several objectives: tpe, random, gp, cmaes, grid")
    if kind == "cmaes" and (several or limited):
        what = "constraints" if limited else "several objectives"
        problems.append(f"sampler.type: got cmaes; allowed tpe, gp, random or grid with {what}")
    if spec.warm_start and (several or limited):
        what = "constraints" if limited else "several objectives"
        problems.append(f"warm_start: allowed only without {what}")
    return problems


def _problems(entries: list[dict[str, Any]], tree: Mapping[str, Any], source: str) -> list[str]:
    """One line a path; the alternatives of a union are joined by `or`."""
    allowed: dict[str, list[str]] = {}
    lines: dict[str, str] = {}
    for entry in entries:
        path, model = _place(entry["loc"])
        message = entry["msg"].removeprefix("Value error, ")
        if entry["type"] == "extra_forbidden":
            name, known = str(entry["loc"][-1]), list(model.model_fields)
            lines[path] = f"{path}: unknown key; allowed {', '.join(known)}{nearest(name, known)} ({source})"
        elif entry["type"] == "missing":
            lines[path] = f"{path}: missing; every study needs it ({source})"
        elif entry["type"] == "value_error" and not _is_field(path):
            lines[path] = f"{path}.{message} ({source})"
        else:
            allowed.setdefault(path, []).append(_plain(message))
            lines[path] = ""
    meant = [line.rpartition("did you mean ")[2].partition("?")[0] for line in lines.values() if "unknown key" in line]
    misspelt = {path for path, line in lines.items() if "missing;" in line and path.rpartition(".")[2] in meant}
    kept = {path: line for path, line in lines.items() if path not in misspelt}
    return [line or _wrong(path, allowed[path], tree, source) for path, line in kept.items()]


def _wrong(path: str, allowed: list[str], tree: Mapping[str, Any], source: str) -> str:
    got: Any = tree
    for name in path.split("."):
        if isinstance(got, list) and name.isdigit():
            got = got[int(name)]
        else:
            got = got.get(name) if isinstance(got, Mapping) else None
    words = re.findall(r"'([^']*)'", " ".join(allowed))
    hint = nearest(got, words) if isinstance(got, str) and not any("did you mean" in text for text in allowed) else ""
    return problem(path, got, " or ".join(dict.fromkeys(allowed)).replace("'", ""), hint=hint, source=source)


def _plain(message: str) -> str:
    for start in ("Input should be ", "Value should be "):
        message = message.removeprefix(start)
    plain = message.replace("a valid array", "a list").replace("an object", "a mapping").replace("valid ", "")
    return plain.replace("dictionary", "mapping").replace("an instance of", "a mapping of the keys of")


def _place(loc: tuple[Any, ...]) -> tuple[str, type[BaseModel]]:
    """The dotted path of an error, cut where the file's own keys end, and the model its last key belongs to."""
    model: type[BaseModel] = StudySpec
    names: list[str] = []
    loc = tuple(part for part in loc if part not in (_ONE, _SEVERAL))
    for part in loc:
        names.append(str(part))
        if isinstance(part, int):  # an item of a list: its keys are those of the list's section
            continue
        info = model.model_fields.get(str(part))
        inside = section(info.annotation) if info is not None else None
        if inside is None:
            break
        if len(names) < len(loc):
            model = inside
    return ".".join(names), model


def _is_field(path: str) -> bool:
    """Whether a path names a value rather than a section of the study file."""
    sections = [name for name, info in StudySpec.model_fields.items() if section(info.annotation) is not None]
    return path not in sections and not re.fullmatch(r"objective\.\d+", path)


def section(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation names: itself, that or null, or a list of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inside in get_args(annotation) if (found := section(inside)) is not None), None)
