"""Hierarchical joint-embedding predictive architectures, every technique a configuration field.

Letters in shapes: B batch, N patches of a view, K context tokens, M target blocks, T tokens of a
block, L levels, G cells of a level, D width, H heads.
"""

from typing import Any

__all__ = ["load_encoder"]


def __getattr__(name: str) -> Any:
    """`hjepa.load_encoder`, imported when asked for: the search's pure parts need no torch."""
    if name == "load_encoder":
        from hjepa.training.load import load_encoder  # noqa: PLC0415 - torch only when it is asked for

        return load_encoder
    raise AttributeError(f"module 'hjepa' has no attribute {name!r}")
