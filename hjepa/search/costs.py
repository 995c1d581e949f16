"""What a trial costs beside its score, by the names of a study file, and limits on that."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Cost:
    """A key of result.json, how much of it is one unit, which way is better, and the words for a value in `shown`."""

    key: str
    unit: float
    mode: Literal["min", "max"]
    words: str
    shown: float = 1.0


COSTS = {
    "device_hours": Cost("device_seconds", 3600.0, "min", "{:.3g} device-hours"),
    "parameters": Cost("parameters", 1.0, "min", "{:,.0f} parameters"),
    "memory": Cost("peak_memory_bytes", 1.0, "min", "{:.4g} GB of memory", 1e9),
    "images_per_second": Cost("images_per_second", 1.0, "max", "{:.4g} images/s"),
}
#: Units of memory, in bytes.
UNITS = {
    **{"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
}
_LIMIT = re.compile(r"\s*(<=|>=|<|>)\s*([0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Limit:
    """A limit on a cost, in its unit; `text` as it is written in the study file."""

    name: str
    comparison: str
    value: float
    text: str

    def met(self, value: float) -> bool:
        """Whether a value is within it."""
        match self.comparison:
            case "<":
                return value < self.value
            case "<=":
                return value <= self.value
            case ">":
                return value > self.value
            case _:
                return value >= self.value

    def excess(self, value: float) -> float:
        """By how much of the limit a value is beyond it: above 0 exactly where it is not met."""
        share = (value - self.value) / self.value * (1 if self.comparison.startswith("<") else -1)
        return min(share, 0.0) if self.met(value) else max(share, 1e-9)


def parse_limit(name: str, text: str) -> Limit:
    """A limit such as `< 8 GB`. Raises ValueError with the words for what is allowed."""
    found = _LIMIT.fullmatch(text)
    memory = name == "memory"
    allowed = "<, <=, > or >= and a number above 0" + (f" with a unit ({', '.join(UNITS)})" if memory else "")
    example = {"memory": "< 8 GB", "parameters": "< 3e6", "device_hours": "< 0.5"}.get(name, "> 100")
    if found is None or (found[3] not in UNITS if memory else found[3]):
        raise ValueError(f"{allowed}, as in {example}")
    value = float(found[2]) * (UNITS[found[3]] if memory else 1)
    if not 0 < value < math.inf:
        raise ValueError(f"{allowed}, as in {example}")
    return Limit(name, found[1], value, text.strip())


def measured(result: Mapping[str, Any], name: str) -> float | None:
    """A cost as a result.json says it, in its unit; None where it does not."""
    cost = COSTS[name]
    value = result.get(cost.key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) / cost.unit


def in_words(name: str, value: float) -> str:
    """A cost for people."""
    return COSTS[name].words.format(value / COSTS[name].shown)
