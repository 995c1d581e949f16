"""A run's directory: experiment.yaml, metrics.jsonl, result.json, checkpoint.pt, test.json."""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


def plain(value: Any) -> Any:
    """The value with every non-finite number as null, ready for JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's content so that a reader, or a crash, sees the old or the new one whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON without NaN, atomically."""
    write_atomic(path, (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode())


class MetricsFile:
    """metrics.jsonl: one JSON object a line, appended and flushed; truncated to a checkpoint on resume."""

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        self.file = path.open("ab")
        self.file.truncate(keep_bytes)
        self.file.seek(keep_bytes)

    def write(self, kind: str, step: int, epoch: float, metrics: dict[str, Any]) -> None:
        """Append a line."""
        line = {"kind": kind, "step": step, "epoch": epoch, **metrics}
        self.file.write((json.dumps(plain(line), allow_nan=False) + "\n").encode())
        self.file.flush()

    def size(self) -> int:
        """Bytes written so far."""
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
