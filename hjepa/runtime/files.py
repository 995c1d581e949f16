"""Files written whole or not at all, and JSON without NaN."""

import itertools
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:  # a full disk does not say where
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be read to the first free `<name>.corrupt`, `<name>.corrupt2`, ...; its new place."""
    numbers = itertools.chain([""], map(str, itertools.count(2)))
    aside = next(place for number in numbers if not (place := path.with_name(f"{path.name}.corrupt{number}")).exists())
    path.rename(aside)
    return aside


def out_of_storage(text: str) -> bool:
    """Whether an error says that nothing can be written any more, whoever tries."""
    return any(words in text for words in ("No space left on device", "Disk quota exceeded", "Read-only file system"))


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    write_text(path, to_json(content) + "\n")


def to_json(content: Any, indent: int | None = 1) -> str:
    """JSON without NaN or Infinity."""
    return json.dumps(plain(content), indent=indent, allow_nan=False)


def plain(value: Any) -> Any:
    """A value as JSON holds it: tuples as lists, paths as text, numbers that are not finite as None."""
    if value is None or isinstance(value, str | int):  # most values: thousands of records are read by this
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
