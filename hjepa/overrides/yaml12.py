"""YAML read and written by the scalar rules of YAML 1.2's core schema.

PyYAML follows YAML 1.1, where `on`, `off`, `yes` and `no` are booleans and `1e-4` is a string.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from hjepa.overrides.errors import ConfigError, shown

MAX_BYTES = 1_000_000
#: Values of a file, those that an alias repeats counted each time.
MAX_VALUES = 20_000
MAX_DEPTH = 40
#: Whole numbers are of 64 bits, as everywhere they go.
MAX_INTEGER = 2**63


class _Refused(yaml.YAMLError):
    """What YAML allows and a settings file may not hold."""

    def __init__(self, what: str, mark: Any) -> None:
        super().__init__(what if mark is None else f"{what}, in line {mark.line + 1}")


class _Loader(yaml.SafeLoader):
    """SafeLoader with 1.2 scalars, of bounded size; tags, duplicate keys and aliases of themselves are refused."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (an instance variable to PyYAML's stubs)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._made = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse what is too deep, too much or tagged while it is read, before anything is built of it."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._made += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"nested more than {MAX_DEPTH} deep", event.start_mark)
        if self._made > MAX_VALUES:
            raise _Refused(f"more than {MAX_VALUES} values", event.start_mark)
        tag = getattr(event, "tag", None)  # an alias has none
        if tag is not None:
            raise _Refused(f"got the tag {shown(tag)}; allowed no tags", event.start_mark)
        if isinstance(event, yaml.ScalarEvent) and any("\ud800" <= letter <= "\udfff" for letter in event.value):
            raise _Refused("got half of a character (a surrogate)", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The document; refused where its aliases repeat too much."""
        node = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None.__class__):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{shown(key)}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """The values of a node with all that its aliases repeat. Raises _Refused."""
    if id(node) in known:
        if not known[id(node)]:
            raise _Refused("got an alias inside of what it repeats", node.start_mark)
        return known[id(node)]
    known[id(node)] = 0
    inside = node.value if isinstance(node, yaml.CollectionNode) else []
    pairs = [item for pair in inside for item in pair] if isinstance(node, yaml.MappingNode) else inside
    count = 1 + sum(_count(item, known) for item in pairs)
    if count > MAX_VALUES:
        raise _Refused(f"its aliases repeat more than {MAX_VALUES} values", node.start_mark)
    known[id(node)] = count
    return count


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
    text = str(loader.construct_scalar(node))
    if len(text) > 20 or not -MAX_INTEGER <= int(text) < MAX_INTEGER:
        raise _Refused(f"got the whole number {shown(text)}; allowed 64 bits", node.start_mark)
    return int(text)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node))
    return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    if not math.isfinite(value):
        text = ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        return dumper.represent_scalar("tag:yaml.org,2002:float", text)
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
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError([f"not readable as YAML: {message}{where}"]) from error


def read(path: Path) -> Any:
    """The value of a YAML file. Raises ConfigError when it is missing, too large or not YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # no more, whatever the file says of its size
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: cannot be read: byte {error.start} is no UTF-8 text"]) from error
    except ValueError as error:  # a path that cannot be
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: too large for settings; allowed at most {MAX_BYTES} bytes"])
    return parse(text, str(path))


def dump(value: Any) -> str:
    """YAML text that YAML 1.1 and 1.2 readers understand alike."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return text
