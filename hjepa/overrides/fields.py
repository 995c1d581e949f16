"""The schema as a flat table: dotted path -> what the field is, acts on and when it is live."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from hjepa.config import Config, Effect, Section
from hjepa.config.fields import as_conditions, holds, in_words


@dataclass(frozen=True)
class Knob:
    """One configuration field. `when` maps dotted paths to the values for which it acts."""

    path: str
    default: Any
    doc: str
    effect: Effect
    flip: Any
    when: Mapping[str, Any]
    together: Mapping[str, Any]
    source: str
    proof: str
    title: str
    choices: tuple[Any, ...] | None
    kind: str


@functools.cache
def knobs() -> dict[str, Knob]:
    """Every field of the schema by dotted path, in schema order."""
    return {knob.path: knob for knob in _walk(Config, "")}


def _walk(section: type[Section], prefix: str) -> list[Knob]:
    found: list[Knob] = []
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            found += _walk(info.annotation, f"{prefix}{name}.")
        else:
            found.append(_knob(f"{prefix}{name}", info, section))
    return found


def _knob(path: str, info: FieldInfo, section: type[Section]) -> Knob:
    extra = info.json_schema_extra
    if not isinstance(extra, dict) or "effect" not in extra:
        raise TypeError(f"{path}: every field must be made with knob()")
    values: dict[str, Any] = dict(extra)
    values["when"] = as_conditions(section.live) | values["when"]
    default = list(info.default) if isinstance(info.default, tuple) else info.default
    choices = _choices(info.annotation)
    named: dict[str, Any] = {"title": info.title or _title(path), "kind": _kind(info, choices), "choices": choices}
    return Knob(path, default, info.description or "", **named, **values)


def _title(path: str) -> str:
    """A name from the last two parts of the path: `objective.vicreg.std_weight` is `vicreg: std weight`."""
    *sections, name = path.replace("_", " ").split(".")
    return f"{sections[-1]}: {name}" if sections else name


def _choices(annotation: Any) -> tuple[Any, ...] | None:
    """The allowed values when the type is a Literal, bool, or one of these or null."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if annotation is bool:
        return (False, True)
    parts = [_choices(part) for part in get_args(annotation) if part is not type(None)]
    if type(None) in get_args(annotation) and len(parts) == 1 and parts[0] is not None:
        return (*parts[0], None)
    return None


def _kind(info: FieldInfo, choices: tuple[Any, ...] | None) -> str:
    """A short name of the field's type, for tables."""
    if choices is not None:
        return "choice"
    text = str(info.annotation)
    optional = " or null" if type(None) in get_args(info.annotation) else ""
    kind = next((name for name in ("tuple", "int", "float", "str") if name in text), text)
    return {"tuple": "list", "str": "text"}.get(kind, kind) + optional


def live(knob: Knob, value_at: Mapping[str, Any]) -> str | None:
    """None when the field acts under these values, else the condition that fails, in words."""
    for path, allowed in knob.when.items():
        if not holds(value_at[path], allowed):
            return f"{path} {in_words(allowed)}"
    return None
