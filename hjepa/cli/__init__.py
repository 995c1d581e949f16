"""Command lines: `hjepa-search` and `hjepa-train`."""
