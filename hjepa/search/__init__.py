"""Studies over the configuration: what to run, what came of it, what it means.

All but the engines is pure: it imports neither torch nor Ray, Optuna or MLflow (`tests/test_layers.py` lists
both). The engines stand behind fences; nothing is imported here before it is asked for, so that a pure module
stays cheap.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["load"]


def load(directory: Path | str) -> "DataFrame":
    """A study's directory as a tidy pandas frame: one row for each trial and epoch, see `hjepa.search.frame`."""
    from hjepa.search.frame import frame  # noqa: PLC0415 - pandas takes a while to load

    return frame(directory)
