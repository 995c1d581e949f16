"""Records on disk: written whole or not at all, read without trusting them."""

import json
import logging
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG = logging.getLogger("hjepa.search")


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a reader sees the old content or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    write_text(path, to_json(content) + "\n")


def to_json(content: Any) -> str:
    """JSON without NaN or Infinity."""
    return json.dumps(plain(content), indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """A value as JSON holds it: tuples as lists, paths as text, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON mapping; None where there is no file.

    One that cannot be read is renamed to `<name>.corrupt`, with a warning of one line, and counts as absent.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        _set_aside(path, str(error))
        return None
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    _set_aside(path, "not a mapping")
    return None


def _set_aside(path: Path, why: str) -> None:
    aside = path.with_name(f"{path.name}.corrupt")
    try:
        path.replace(aside)
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
        except ValueError:  # the driver may be killed in mid-line
            continue
        if isinstance(entry, dict) and entry.get("kind") in kinds:
            found.append(plain(entry))
    return found
