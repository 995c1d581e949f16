"""Wrong settings files, made of right ones: seeded mutations of keys, values, types, structure, text and bytes."""

import copy
import random
from collections.abc import Callable
from typing import Any

from hjepa.overrides import knobs, live, load_config, values_of, yaml12
from hjepa.overrides.resolve import nest

#: Values that some field somewhere does not expect.
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 5, 7, 1024, 4096, 2**31, 2**53 + 1, 2**62, -(2**63)),
    *(0.0, -0.0, 0.5, 1.5, -0.1, 1e-9, 1e-300, 5e-324, 1e300, 1.7e308, -1.7e308),
    *(float("nan"), float("inf"), float("-inf")),
    *("factorial", "fractional_factorial", "one_at_a_time", "hyperband", "cmaes", "random", "raster", "learned"),
    *("pbt", "nsgaii", "promotion", "percentile", "best", "memory", "< 8 GB", "> 0", "< 1e400", "probe.top1"),
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
#: Beside the files of the repository: right files that together hold every key of a study file.
_SMALL: dict[str, Any] = {
    "base": "../experiments/digits_tiny.yaml",
    "settings": {"optim": {"clip_norm": 1.0}},
    "budget": {"trials": 8, "epochs": 6},
    "space": {
        "optim.lr": {"log_uniform": [1.0e-3, 1.0e-2]},
        "optim.weight_decay": {"uniform": [0.1, 0.4], "step": 0.1},
    },
}
_FAULTS = {"crash": 1, "preempted": 2, "out_of_memory": 3, "hung": 0, "hung_after": 5.0, "hung_seconds": 60.0}
STUDIES: dict[str, dict[str, Any]] = {
    "warm": {
        **{**_SMALL, "study": "warm", "warm_start": ["../runs/earlier", "../experiments/digits_tiny.yaml"]},
        "objective": {"metric": "knn.top1", "mode": "max", "at": "last"},
        "budget": {"trials": 8, "epochs": 6, "hours": 1.0, "device_hours": 2.0, "total_epochs": 40},
        "scheduler": {
            **{"type": "hyperband", "grace": 0.2, "reduction": 2, "variant": "stopping", "brackets": 2},
            **{"min_trials": 3, "patience": 1, "seed": 1},
        },
        "sampler": {"type": "cmaes", "seed": 1},
        "resources": {"workers": 1, "gpus": "auto", "cpus": 1},
        **{"seeds": [0, 1], "faults": _FAULTS, "max_concurrent": 2},
    },
    "limits": {
        **{**_SMALL, "study": "limits", "sampler": {"type": "nsgaii"}},
        "objective": [
            {"metric": "probe.top1", "mode": "max", "at": "best"},
            *({"metric": name, "mode": "min"} for name in ("parameters", "memory", "device_hours")),
            {"metric": "images_per_second", "mode": "max"},
        ],
        "constraints": {
            **{"memory": "< 8 GB", "parameters": "<= 3e6", "device_hours": "< 0.5", "images_per_second": "> 10"},
        },
        "scheduler": {"type": "percentile", "percentile": 30, "grace": 0.2},
    },
    "population": {
        **{**_SMALL, "study": "population"},
        "scheduler": {
            **{"type": "pbt", "interval": 0.3, "quantile": 0.3, "factors": [0.5, 2.0], "vary": ["optim.lr"], "seed": 2},
        },
    },
    "fraction": {
        **{name: _SMALL[name] for name in ("base", "settings")},
        **{"study": "fraction", "budget": {"epochs": 6}, "seeds": [0, 1]},
        "ablation": {
            **{"design": "fractional_factorial", "resolution": 3, "seed_sd": 0.5, "margin": 0.2},
            "factors": {
                "decay": {"without": {"optim.weight_decay": 0.1}, "with": {"optim.weight_decay": 0.4}},
                "rate": {"without": {"optim.lr": 1.0e-3}, "with": {"optim.lr": 2.0e-3}},
                "clip": {"without": {"optim.clip_norm": None}, "with": {"optim.clip_norm": 2.0}},
            },
        },
        "claims": [{"factor": "decay", "effect": [0.1, 0.5], "source": "somebody"}],
    },
    "alike": {
        **{"study": "alike", "base": _SMALL["base"], "budget": {"epochs": 6}, "seeds": [0, 1]},
        "ablation": {"design": "a_a", "labels": 3},
    },
}
Place = tuple[Any, Any]


def whole_experiment() -> Any:
    """An experiment file with every setting that acts beside the defaults and the probes of levels."""
    values = values_of(load_config(None, ["evaluation.levels=true"]))
    return nest({path: value for path, value in values.items() if live(knobs()[path], values) is None})


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
