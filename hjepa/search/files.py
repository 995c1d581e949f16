"""Records on disk, read without trusting them."""

import contextlib
import gc
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hjepa.overrides import ConfigError
from hjepa.runtime.files import plain, set_aside, write_bytes

LOG = logging.getLogger("hjepa.search")
#: Reads NaN and Infinity as null; a number too large for a float is rare, and shows by its exponent.
_JSON = json.JSONDecoder(parse_constant=lambda name: None)
_HUGE = re.compile(rb"[0-9.][eE]\+?[0-9]{3}|[0-9]{300}")


def read_json(
    path: Path, wrong: Callable[[dict[str, Any]], str | None] = lambda content: None
) -> dict[str, Any] | None:
    """A JSON mapping; None where there is no file.

    One that is not JSON, or of which `wrong` says what is wrong with it, is renamed to `<name>.corrupt`, with a
    warning of one line, and counts as absent. Raises ConfigError for one that this user may not read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
        content = _JSON.decode(data.decode())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except (ValueError, RecursionError) as error:
        _set_aside(path, str(error))
        return None
    known: dict[str, Any] = content if isinstance(content, dict) else {}
    known = plain(known) if _HUGE.search(data) else known
    fault = wrong(known) if isinstance(content, dict) else "not a mapping"
    if fault is None:
        return known
    _set_aside(path, fault)
    return None


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No search for cycles among what is read: there are none, and thousands of records would be searched again and
    again.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def mend_journal(path: Path) -> None:
    """Keep the whole lines of a file of one JSON value a line, up to the first that is not; set the other aside.

    A driver that was killed may leave half a line, after which nothing could be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    kept = 0
    for line in data.splitlines(keepends=True):
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            break
        if not line.endswith(b"\n"):
            break
        kept += len(line)
    if kept < len(data):
        _set_aside(
            path, f"line {data[:kept].count(bytes([10])) + 1} is cut off or no JSON; the lines before it are kept"
        )
        write_bytes(path, data[:kept])


def _set_aside(path: Path, why: str) -> None:
    try:
        aside = set_aside(path)
        LOG.warning("%s: not readable (%s); set aside as %s", path, " ".join(why.split()), aside.name)
    except OSError:  # a read-only copy of a study can still be reported
        LOG.warning("%s: not readable (%s); ignored", path, " ".join(why.split()))


def last_lines(path: Path, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl of the given kinds, in order; a torn or foreign line is skipped."""
    found = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # the driver may be killed in mid-line
            continue
        numbered = isinstance(entry, dict) and isinstance(entry.get("epoch"), int | float)
        if numbered and entry.get("kind") in kinds:
            found.append(plain(entry))
    return found
