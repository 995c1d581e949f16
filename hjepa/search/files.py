"""Records on disk, read without trusting them."""

import json
import logging
from pathlib import Path
from typing import Any

from hjepa.runtime.files import plain

LOG = logging.getLogger("hjepa.search")


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
