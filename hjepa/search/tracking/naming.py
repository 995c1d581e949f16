"""The name by which an MLflow store knows a study: kept in its directory, and found again where that is lost."""

import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hjepa.runtime.files import write_json
from hjepa.search.files import read_json
from hjepa.search.tracking.values import PLACE, STUDY

#: Its file, and its key there.
FILE, KEY = "mlflow.json", "study_id"
#: One run of the store: its id and its tags.
Logged = tuple[str, Mapping[str, str]]


def study_id(directory: Path, logged: Callable[[], Iterator[Logged]] | None = None) -> str:
    """A name of the study in this directory that no other study has.

    `logged` gives the runs of the store in which the study would be. Where the file is lost or damaged, the study is
    the one of which a trial's record names a run; where the file is there but damaged, also the one that says it lies
    here. A new name is made where there is neither.
    """
    path = directory / FILE
    content = read_json(path, _wrong)
    if content is None:
        content = {KEY: (_found(directory, logged) if logged is not None else None) or uuid.uuid4().hex}
        write_json(path, content)
    return str(content[KEY])


def place_of(directory: Path) -> str:
    """How a study's run says where the study lies."""
    return shlex.quote(str(directory.absolute()))


def _found(directory: Path, logged: Callable[[], Iterator[Logged]]) -> str | None:
    """The name under which the store knows the study."""
    runs = {str(content["mlflow_run_id"]) for content in _trials(directory) if content.get("mlflow_run_id")}
    damaged = any(directory.glob(f"{FILE}.corrupt*"))
    if not runs and not damaged:  # a study that was never logged, perhaps where another one lay before
        return None
    here = None
    for run, tags in logged():
        if run in runs:
            return tags.get(STUDY)
        if damaged and tags.get(PLACE) == place_of(directory):
            here = here or tags.get(STUDY)
    return here


def _trials(directory: Path) -> Iterator[dict[str, Any]]:
    for path in directory.glob("trials/*/trial.json"):
        content = read_json(path)
        if content is not None:
            yield content


def _wrong(content: Mapping[str, Any]) -> str | None:
    name = content.get(KEY)
    return None if isinstance(name, str) and name else f"without {KEY}"
