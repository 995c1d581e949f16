"""Where a command reads a study from: its directory, or MLflow alone."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hjepa.overrides import ConfigError
from hjepa.search.records import StudyRecords


@contextlib.contextmanager
def study_records(source: str, tracking_uri: str | None = None) -> Iterator[StudyRecords]:
    """The records in a directory, else those rebuilt from the MLflow experiment of that name. Raises ConfigError."""
    if Path(source).exists():
        yield StudyRecords.open(source)
        return
    if tracking_uri is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        more = "or with --tracking-uri the name of an MLflow experiment"
        raise ConfigError([f"{source}: no such directory; allowed the directory of a study that has run, {more}"])
    from hjepa.search.tracking.source import rebuilt

    with rebuilt(source, tracking_uri) as records:
        yield records
