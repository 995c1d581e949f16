"""A run's metrics.jsonl."""

from pathlib import Path
from typing import Any

from hjepa.runtime.files import to_json

SCHEMA_VERSION = 1


class MetricsFile:
    """metrics.jsonl: one JSON object a line, appended and flushed; truncated to a checkpoint on resume."""

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        self.file = path.open("ab")
        self.file.truncate(keep_bytes)
        self.file.seek(keep_bytes)

    def write(self, kind: str, step: int, epoch: float, metrics: dict[str, Any]) -> None:
        """Append a line."""
        line = {"kind": kind, "step": step, "epoch": epoch, **metrics}
        self.file.write((to_json(line, indent=None) + "\n").encode())
        self.file.flush()

    def size(self) -> int:
        """Bytes written so far."""
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
