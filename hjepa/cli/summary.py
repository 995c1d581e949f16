"""What a finished run says: its scores beside their floors, its speed, and where its files are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Row of the table -> (which part of result.json, prefix of the metric there).
ROWS = {
    "raw pixels": ("floor", "pixels."),
    "untrained encoder": ("floor", ""),
    "trained encoder": ("metrics", ""),
}
COLUMNS = ("probe.top1", "knn.top1", "probe_rung.top1", "knn_rung.top1")


def summary(result: Mapping[str, Any], directory: Path) -> str:
    """The closing lines of `hjepa-train` for the content of result.json."""
    lines = [f"{result['state']} at epoch {result['epoch']}" + (f": {result['reason']}" if result["reason"] else "")]
    table = {row: [result[part].get(f"{prefix}{column}") for column in COLUMNS] for row, (part, prefix) in ROWS.items()}
    lines += ["", f"{'':20}" + "".join(f"{column:>17}" for column in COLUMNS)]
    lines += [f"{row:20}" + "".join(f"{_share(value):>17}" for value in values) for row, values in table.items()]
    lines += ["", _speed(result), f"held-out scores of the frozen EMA encoder; files in {directory}"]
    if (directory / "test.json").exists():
        lines.append(f"test scores in {directory / 'test.json'}")
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _speed(result: Mapping[str, Any]) -> str:
    seconds = result["seconds"]
    rate = result["images_per_second"]
    parts = [f"{seconds:.0f} s", f"probes {result['probe_seconds'] / max(seconds, 1e-9):.0%} of it"]
    if rate is not None:
        parts.insert(1, f"{rate:,.0f} images/s")
    peak = result["peak_memory_bytes"]
    return ", ".join(parts) + f", peak memory {peak / 2**20:,.0f} MiB" if peak else ", ".join(parts)
