"""YAML read and written by the scalar rules of YAML 1.2's core schema.

PyYAML follows YAML 1.1, where `on`, `off`, `yes` and `no` are booleans and `1e-4` is a string.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from hjepa.overrides.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_ALIASES = 100


class _Loader(yaml.SafeLoader):
    """SafeLoader with 1.2 scalars; duplicate keys are refused."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (an instance variable to PyYAML's stubs)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None.__class__):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what 1.1 or 1.2 would not read back as a string."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_SCALARS = [
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
]
for _tag, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):  # the dumper quotes a string that either version reads as something else
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node))
    return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value)
    if "e" in text and "." not in text:  # 1e-05 is a string to YAML 1.1 readers; 1.0e-05 is a number to both
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _represent_float)


def parse(text: str, source: str = "") -> Any:
    """The value of a YAML text; `source` names it in errors. Raises ConfigError."""
    where = f" ({source})" if source else ""
    if len(text) > MAX_BYTES:
        raise ConfigError([f"YAML of {len(text)} bytes; allowed at most {MAX_BYTES}{where}"])
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader))
        if aliases > MAX_ALIASES:
            raise ConfigError([f"YAML with {aliases} aliases; allowed at most {MAX_ALIASES}{where}"])
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError([f"not readable as YAML: {message}{where}"]) from error


def read(path: Path) -> Any:
    """The value of a YAML file. Raises ConfigError when it is missing, too large or not YAML."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError([f"{path}: {path.stat().st_size} bytes; allowed at most {MAX_BYTES}"])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error
    return parse(text, str(path))


def dump(value: Any) -> str:
    """YAML text that YAML 1.1 and 1.2 readers understand alike."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return text
