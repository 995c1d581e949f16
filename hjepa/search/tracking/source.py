"""A study read back from MLflow alone: its files rebuilt in a temporary directory from the artifacts of its runs."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Run

from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_json
from hjepa.search.files import LOG, read_json
from hjepa.search.records import StudyRecords
from hjepa.search.tracking.address import masked, without_credentials
from hjepa.search.tracking.store import FAILURES, connect, search
from hjepa.search.tracking.values import FOLDER, KIND, PLACE, STUDY, TRIAL, WITHIN

#: Experiments that an error names at most.
NAMED = 8


@contextlib.contextmanager
def rebuilt(name: str, uri: str | None = None) -> Iterator[StudyRecords]:
    """The records of the newest study in an MLflow experiment, as long as the context is entered.

    `uri` is the store; None: that of MLFLOW_TRACKING_URI, which must be set. Raises ConfigError where there is no
    such experiment or no study in it, or the store cannot be reached.
    """
    given = uri or os.environ["MLFLOW_TRACKING_URI"]
    file = urlsplit(given).path[1:] if given.startswith("sqlite:") else None
    if file is not None and not Path(file).is_file():  # MLflow would make an empty one
        raise ConfigError([f"--tracking-uri: got {masked(given)}; allowed the URI of a store that exists"])
    with tempfile.TemporaryDirectory(prefix="hjepa-") as folder:
        try:
            client = connect(given)
            experiment = _experiment(client, name, given)
            study = _newest(client, experiment, name)
            _write(client, experiment, study, Path(folder))
            for part in search(client, experiment, f"tags.`{WITHIN}` = '{study.data.tags[STUDY]}'"):
                _write(client, experiment, part, Path(folder) / _plain(part.data.tags[FOLDER]))
        except FAILURES as error:
            said = without_credentials(" ".join(str(error).split())[:300], given)
            raise ConfigError([f"--tracking-uri: {masked(given)} does not give it: {said}"]) from error
        records = StudyRecords.open(Path(folder))
        records.place = study.data.tags.get(PLACE, shlex.quote(name))
        yield records


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    known = [other.name for other in client.search_experiments(max_results=NAMED + 1)]
    shown = ", ".join(known[:NAMED]) + (", ..." if len(known) > NAMED else "")
    raise ConfigError([f"{name}: neither a directory nor an experiment in {masked(uri)}; allowed there: {shown}"])


def _newest(client: MlflowClient, experiment: str, name: str) -> Run:
    studies = list(search(client, experiment, f"tags.`{KIND}` = 'study'"))
    whole = [run for run in studies if WITHIN not in run.data.tags]
    if not whole:
        raise ConfigError([f"{name}: this MLflow experiment holds no study; allowed one that hjepa-search has logged"])
    if len(whole) > 1:
        LOG.warning("%s: %d studies of this name; the newest is read, run %s", name, len(whole), whole[0].info.run_id)
    return whole[0]


def _write(client: MlflowClient, experiment: str, study: Run, folder: Path) -> None:
    """Write the files of one study."""
    if not _download(client, study, folder):
        raise ConfigError([f"{study.info.run_name}: its run {study.info.run_id} holds no record; allowed after a sync"])
    missing = 0
    for run in search(client, experiment, f"tags.`{STUDY}` = '{study.data.tags[STUDY]}' and tags.`{KIND}` = 'trial'"):
        place = folder / "trials" / _plain(run.data.tags[TRIAL])
        if not _download(client, run, place):
            missing += 1
            continue
        content = read_json(place / "trial.json") or {}
        write_json(place / "trial.json", {**content, "mlflow_run_id": run.info.run_id})
    if missing:
        LOG.warning("%s: %d trials have no record in MLflow; sync logs it", study.info.run_name, missing)


def _download(client: MlflowClient, run: Run, place: Path) -> bool:
    """The artifacts of a run's record, into a folder; False where there are none."""
    files = [item.path for item in client.list_artifacts(run.info.run_id, "record") if not item.is_dir]
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        with tempfile.TemporaryDirectory(dir=place.parent) as arrival:
            Path(client.download_artifacts(run.info.run_id, file, arrival)).replace(place / Path(file).name)
    return bool(files)


def _plain(name: str) -> str:
    """A name that came from a server, as that of one folder. Raises ConfigError."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise ConfigError([f"{name!r}: a tag in MLflow that is no name of a trial"])
    return name
