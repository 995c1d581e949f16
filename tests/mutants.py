"""Wrong settings files, made of right ones: seeded mutations of keys, values, types, structure, text and bytes."""

import copy
import random
from collections.abc import Callable
from typing import Any

from hjepa.overrides import yaml12

#: Values that some field somewhere does not expect.
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 5, 7, 1024, 4096, 2**31, 2**53 + 1, 2**62, -(2**63)),
    *(0.0, -0.0, 0.5, 1.5, -0.1, 1e-9, 1e-300, 5e-324, 1e300, 1.7e308, -1.7e308),
    *(float("nan"), float("inf"), float("-inf")),
    *("factorial", "fractional_factorial", "one_at_a_time", "hyperband", "cmaes", "random", "raster", "learned"),
    *("", " ", "null", "none", "1", "1e-3", "on", "yes", "~", "auto", "max", "grid", "path", "mixture", "mixed", "a_a"),
    *(
        "../x.yaml",
        "/",
        ".",
        "..",
        "a" * 5000,
        "\0",
        "a\nb",
        "\x1b[31mred",
        "\u202e",
        "é",
        "𝔘",
        "\u202e\u2066",
        "<set>",
        "<positive>",
    ),
    *([], {}, [[]], [None], [1, 1], [0.1, 0.2], [2, 1], ["a", {"b": []}], {"a": {}}, {"a": {"b": {"c": 1}}}),
    *({"choice": [1, 2]}, {"log_uniform": [0, 1]}, {"uniform": [-1e308, 1e308]}, {"int": [1, 2**62], "step": 2}),
    *({"uniform": [0.0, 1.0], "step": 1e-300}, {"choice": list(range(500))}, list(range(3000))),
    *({"levels": {"a": {}, "b": {}}}, {"without": {}, "with": {}}, {str(n): n for n in range(200)}),
)
Place = tuple[Any, Any]


def mutant(tree: Any, random: random.Random) -> bytes:
    """A file with one to three mutations, of what it says or of how it is written."""
    changed = random.random() < 0.7
    if changed:
        for _ in range(random.choice((1, 1, 2, 3))):
            tree = _changed(tree, random)
    data = yaml12.dump(tree).encode()
    if not changed or random.random() < 0.1:
        data = random.choice(_WRITINGS)(data, random)
    return data


def _changed(tree: Any, random: random.Random) -> Any:
    """A tree with one mutation at a place drawn from all its keys and items."""
    tree = copy.deepcopy(tree)
    places = _places(tree)
    inside = [place for place in places if not isinstance(tree, dict) or place[0] is not tree]
    places = inside if inside and random.random() < 0.4 else places
    if not places:
        return random.choice(NASTY)
    holder, at = random.choice(places)
    match random.randrange(9):
        case 0 | 1 | 2:
            holder[at] = copy.deepcopy(random.choice(NASTY))
        case 3:
            del holder[at]
        case 4 if isinstance(holder, dict):
            holder[_misspelt(str(at), random)] = holder.pop(at)
        case 5:
            holder[at] = _retyped(holder[at], random)
        case 6:
            other, there = random.choice(places)
            holder[at], other[there] = copy.deepcopy(other[there]), copy.deepcopy(holder[at])
        case 7:
            other, _ = random.choice(places)
            if isinstance(other, dict):
                other[str(at)] = copy.deepcopy(holder[at])
            else:
                other.append(copy.deepcopy(holder[at]))
        case _:
            holder[at] = _deep(random.choice((3, 30, 60)), random)
    return tree


def _places(tree: Any) -> list[Place]:
    found: list[Place] = []
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        found += [(tree, key), *_places(tree[key])]
    return found


def _misspelt(name: str, random: random.Random) -> Any:
    at = random.randrange(len(name)) if name else 0
    return random.choice(
        (
            *(name[:at] + name[at + 1 :], name + "s", name.upper(), name.replace("o", "о"), name.replace("_", "-")),
            *(name + ".x", "." + name, name + "\0", "", 1, 1.5, True, None, name * 500),
        )
    )


def _retyped(value: Any, random: random.Random) -> Any:
    numbers: tuple[Any, ...] = ()
    if isinstance(value, int | float) and not isinstance(value, bool):
        numbers = (-value, value * 1000, value + 0.5, value / 3, int(value) if value == value // 1 else value)
    return random.choice((str(value), [value], {"a": value}, [value, value], {str(value): None}, *numbers))


def _deep(depth: int, random: random.Random) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = random.choice(([value], {"a": value}, [value, value] if depth < 10 else [value]))
    return value


def _at(data: bytes, random: random.Random, new: bytes, *, over: int = 0) -> bytes:
    where = random.randrange(len(data) + 1)
    return data[:where] + new + data[where + over :]


def _line(data: bytes, random: random.Random, change: Callable[[bytes], bytes]) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    where = random.randrange(len(lines))
    lines[where] = change(lines[where])
    return b"".join(lines)


_SIGNS: tuple[bytes, ...] = (
    b"\t",
    b":",
    b"- ",
    b"? ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"&a ",
    b"*a",
    b"!",
    b"!!int ",
    b"!!python/name:os.system ",
)
_SIGNS += (b"|", b">", b"%", b"@", b"`", b'"', b"'", b"#", b"\n", b"\r", b"---\n", b"...\n", b"<<: ", b"\xc2\x85", b",")
_SIGNS += (b"!!bool ", b"!!set ", b"!!timestamp ", b"\xef\xbb\xbf", b'"\\ud800"', b"9" * 5000, b"1e999", b"0x1F", b"  ")
#: Ways in which the same words are written wrongly.
_WRITINGS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda data, random: _at(data, random, random.choice(_SIGNS)),
    lambda data, random: _at(data, random, random.choice(_SIGNS), over=3),
    lambda data, random: _at(data, random, bytes([random.randrange(256)])),
    lambda data, random: _at(data, random, bytes([random.randrange(256)]), over=1),
    lambda data, random: data[: random.randrange(len(data) + 1)],
    lambda data, random: data[random.randrange(len(data) + 1) :],
    lambda data, random: _line(data, random, lambda line: line + line),
    lambda data, random: _line(data, random, lambda line: b""),
    lambda data, random: _line(data, random, lambda line: b" " + line),
    lambda data, random: _line(data, random, lambda line: line.lstrip()),
    lambda data, random: data.decode("utf-8", "replace").encode(random.choice(("utf-16", "utf-32", "utf-8-sig"))),
    lambda data, random: data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b"\n\t"))),
    lambda data, random: data + data,
    lambda data, random: b"a: &a [1, *a]\n" + data,
    lambda data, random: b"[" * random.choice((50, 5000)) + data,
)
