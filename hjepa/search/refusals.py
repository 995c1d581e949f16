"""Proposals that are refused before they run, as they are known to be beyond a constraint; each is written down."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hjepa.config import Config
from hjepa.overrides import ConfigError
from hjepa.runtime.files import plain
from hjepa.search.costs import in_words
from hjepa.search.records import StudyRecords

#: In a study's directory: one line a refused proposal.
FILE = "refused.jsonl"


class Refusals:
    """Examines proposals by their number of parameters, the one cost that is known before a trial runs."""

    def __init__(self, records: StudyRecords, count: Callable[[Config], int] | None) -> None:
        """`count` says how many trainable parameters a Config has."""
        limits = records.goals.limits if count is not None else ()
        self._path = records.directory / FILE
        self._count = count
        self._limit = next((limit for limit in limits if limit.name == "parameters"), None)

    @property
    def more(self) -> int:
        """How many times more often than else a proposal may be refused before there are no more."""
        return 1 if self._limit is None else 10

    def examine(self, overrides: Mapping[str, Any], config: Config) -> None:
        """Raise ConfigError for a proposal beyond the limit; never for the baseline, which all is compared with."""
        if self._limit is None or self._count is None or not overrides:
            return
        count = self._count(config)
        if self._limit.met(count):
            return
        line = {"parameters": count, "allowed": self._limit.text, "overrides": dict(overrides)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line)) + "\n")
        raise ConfigError([f"constraints.parameters: {in_words('parameters', count)}; allowed {self._limit.text}"])


def refused(directory: Path) -> list[dict[str, Any]]:
    """The proposals that were refused, each with its `parameters`, what was `allowed` and its `overrides`."""
    try:
        text = (directory / FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # the driver was killed in mid-line
            continue
        if isinstance(entry, dict) and isinstance(entry.get("parameters"), int | float):
            found.append(entry)
    return found


def lines(directory: Path) -> list[str]:
    """How many were refused, in words; nothing where none was."""
    found = refused(directory)
    if not found:
        return []
    many = f"{len(found)} proposal{'s' * (len(found) > 1)}"
    low, high = (in_words("parameters", pick(line["parameters"] for line in found)) for pick in (min, max))
    span = high if low == high else f"{low.split()[0]} to {high}"
    return [f"refused before they ran: {many} of {span}, allowed {found[-1]['allowed']}"]
