"""Layers of settings (a file, then overrides) -> one checked Config."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hjepa.config import Config, Section
from hjepa.overrides import yaml12
from hjepa.overrides.errors import ConfigError, nearest, problem, shown
from hjepa.overrides.fields import knobs, live


@dataclass(frozen=True)
class Layer:
    """Settings by dotted path, and the name of where they come from (for errors)."""

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


def flatten(tree: Mapping[str, Any], source: str = "", prefix: str = "") -> dict[str, Any]:
    """A nested mapping as {dotted path: value}. Raises ConfigError for a key that is not text."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(key, str):
            raise ConfigError([problem(f"{prefix}{shown(key)}", key, "a name as key", source=source)])
        path = f"{prefix}{key}"
        inside = flatten(value, source, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
        for name, leaf in inside.items():
            if name in flat:
                raise ConfigError([f"{name}: given twice ({source})"])
            flat[name] = leaf
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{dotted path: value} as a nested mapping."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        node = tree
        *parents, name = path.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def file_layer(path: Path) -> Layer:
    """The settings of an experiment file. Raises ConfigError."""
    tree = yaml12.read(path)
    if tree is None:
        tree = {}
    if not isinstance(tree, Mapping):
        raise ConfigError([f"{path}: allowed a mapping of configuration sections; got {shown(tree)}"])
    return Layer(str(path), flatten(tree, str(path)))


def override_layer(settings: Sequence[str], source: str = "command line") -> Layer:
    """`path=value` settings, values read as YAML. Raises ConfigError."""
    values: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise ConfigError([f"{setting}: allowed path=value, for example optim.lr=1e-3 ({source})"])
        values[path] = yaml12.parse(text, f"{source}: {setting}")
    return Layer(source, flatten(values, source))


def resolve(layers: Sequence[Layer]) -> Config:
    """The Config of the layers, later ones first in rank.

    A setting that cannot act is refused, unless a later layer switched off what it belongs to:
    then it is dropped. Raises ConfigError with one line for each problem.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, int] = {}
    for rank, layer in enumerate(layers):
        for path, value in layer.values.items():
            _known(path, value, layer.source)
            merged[path] = value
            origin[path] = rank
    config = _validated(merged, origin, layers)
    dead = _dead(config, origin)
    problems = [
        problem(path, merged[path], f"only when {condition}", source=layers[origin[path]].source)
        for path, (condition, dropped) in dead.items()
        if not dropped
    ]
    if problems:
        raise ConfigError(problems)
    kept = {path: value for path, value in merged.items() if path not in dead}
    return _validated(kept, origin, layers) if dead else config


def load_config(path: Path | str | None = None, overrides: Sequence[str] = ()) -> Config:
    """An experiment file (or the defaults) with `path=value` overrides. Raises ConfigError."""
    layers = [file_layer(Path(path))] if path is not None else []
    return resolve([*layers, override_layer(overrides)])


def values_of(config: Config) -> dict[str, Any]:
    """Every field's value by dotted path, as plain data: tuples as lists, what is in them as mappings."""
    flat: dict[str, Any] = {}
    for path in knobs():
        value: Any = config
        for name in path.split("."):
            value = getattr(value, name)
        flat[path] = [_plain_item(item) for item in value] if isinstance(value, tuple) else value
    return flat


def _plain_item(item: Any) -> Any:
    return item.model_dump(mode="json") if isinstance(item, Section) else item


def _known(path: str, value: Any, source: str) -> None:
    """Refuse a path that is no field, with the nearest one that is."""
    if path in knobs():
        return
    sections = {".".join(known.split(".")[:depth]) for known in knobs() for depth in range(1, known.count(".") + 1)}
    if path in sections:
        if isinstance(value, Mapping) and not value:
            return
        raise ConfigError([problem(path, value, "a mapping of its fields", source=source)])
    parent, _, name = path.rpartition(".")
    siblings = [known for known in knobs() if known.rpartition(".")[0] == parent]
    hint = nearest(path, knobs()) or nearest(name, [known.rpartition(".")[2] for known in siblings])
    if not hint:
        same_name = [known for known in knobs() if known.rpartition(".")[2] == name]
        hint = f"; did you mean {same_name[0]}?" if same_name else ""
    listed = ", ".join(siblings if parent and siblings else sorted({known.partition(".")[0] for known in knobs()}))
    raise ConfigError([f"{path}: unknown key; allowed {listed}{hint} ({source})"])


def _validated(merged: Mapping[str, Any], origin: Mapping[str, int], layers: Sequence[Layer]) -> Config:
    leaves = {path: value for path, value in merged.items() if path in knobs()}
    try:
        return Config.model_validate_json(json.dumps(nest(leaves)), strict=True)
    except TypeError as error:
        raise ConfigError(
            [f"a value is not plain YAML data: {error} ({', '.join(x.source for x in layers)})"]
        ) from error
    except ValidationError as error:
        raise ConfigError([_line(dict(entry), merged, origin, layers) for entry in error.errors()]) from None


def _line(entry: dict[str, Any], merged: Mapping[str, Any], origin: Mapping[str, int], layers: Sequence[Layer]) -> str:
    """One pydantic error in the project's form."""
    names = [str(part) for part in entry["loc"]]
    path = next(
        (".".join(names[:n]) for n in range(len(names), 0, -1) if ".".join(names[:n]) in knobs()), ".".join(names)
    )
    message = entry["msg"]
    if entry["type"] == "value_error":  # from our own validators, already in the project's form
        text = message.removeprefix("Value error, ")
        text = f"{path}.{text}" if path and path not in knobs() else text
        named = text.partition(":")[0]
        return text + _from(named, origin, layers)
    got = merged.get(path, entry.get("input"))
    knob = knobs().get(path)
    if knob is not None and knob.choices is not None:
        allowed = ", ".join(shown(choice) for choice in knob.choices)
        hint = nearest(str(got), [str(choice) for choice in knob.choices])
        return problem(path, got, allowed, hint=hint) + _from(path, origin, layers)
    return problem(path, got, _plain(message)) + _from(path, origin, layers)


def _plain(message: str) -> str:
    """Pydantic's message as the end of `allowed ...`."""
    for start in ("Input should be ", "Value should be ", "Tuple should have "):
        message = message.removeprefix(start)
    message = message.partition(" after validation")[0]
    return message.replace("a valid array", "a list").replace("a valid integer", "an integer").replace("valid ", "")


def _from(path: str, origin: Mapping[str, int], layers: Sequence[Layer]) -> str:
    if path in origin:
        return f" ({layers[origin[path]].source})"
    sources = ", ".join(layer.source for layer in layers if layer.values)
    return f" ({sources})" if sources else ""


def _dead(config: Section, origin: Mapping[str, int]) -> dict[str, tuple[str, bool]]:
    """Given fields that cannot act: path -> (condition, a later layer switched it off)."""
    assert isinstance(config, Config)
    values = values_of(config)
    dead: dict[str, tuple[str, bool]] = {}
    for path, rank in origin.items():
        knob = knobs().get(path)
        condition = live(knob, values) if knob is not None else None
        if knob is not None and condition is not None:
            dead[path] = (condition, any(origin.get(switch, -1) > rank for switch in knob.when))
    return dead
