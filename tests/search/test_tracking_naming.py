"""A study has one name in a store, whatever happens to the file that keeps it; its database is whole or not there."""

import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hjepa.search.records import StudyRecords
from hjepa.search.tracking.address import default_uri
from hjepa.search.tracking.mirror import sync
from hjepa.search.tracking.naming import FILE, Logged, place_of, study_id
from tests.tracked import Enter, MakeStudy, make_records, without_page

DAMAGES = {"cut off": b'{"study', "without the name": b"{}", "of another kind": b'{"study_id": 3}'}


def nobody() -> Iterator[Logged]:
    raise AssertionError("the store is asked for nothing")


def test_a_name_is_made_once_and_kept(tmp_path: Path) -> None:
    first = study_id(tmp_path, nobody)
    assert study_id(tmp_path, nobody) == first
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert study_id(tmp_path, nobody) != first, "where another study lay before, it is asked for nothing either"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_name_is_that_of_the_study_which_says_it_lies_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / FILE).write_bytes(damage)
    elsewhere = ("run1", {"hjepa.study_id": "another", "hjepa.place": "elsewhere"})
    here = ("run2", {"hjepa.study_id": "mine", "hjepa.place": place_of(tmp_path)})
    with caplog.at_level(logging.WARNING):
        assert study_id(tmp_path, lambda: iter([elsewhere, here])) == "mine"
    assert [text.count("mlflow.json: not readable") for text in caplog.messages] == [1]
    assert (tmp_path / f"{FILE}.corrupt").read_bytes() == damage
    assert study_id(tmp_path, nobody) == "mine"
    (tmp_path / FILE).write_bytes(damage)
    assert study_id(tmp_path, lambda: iter([elsewhere])) not in ("mine", "another")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, b"{}"], ids=["lost", "damaged"])
def test_a_lost_name_makes_no_second_run(
    make_study: MakeStudy,
    enter: Enter,
    tmp_path: Path,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: bytes | None,
) -> None:
    without_page(monkeypatch)
    records = make_records(make_study, enter, tmp_path / "study")
    (records.directory / "mlflow.db").write_bytes(empty_store.read_bytes())
    sync(records)
    before = runs(records)
    (records.directory / FILE).unlink()
    if damage is not None:
        (records.directory / FILE).write_bytes(damage)
        for trial in records.trials():  # the records have forgotten it, too
            records.mark(trial.id, mlflow_run_id=None)
    sync(StudyRecords.open(records.directory))
    assert runs(records) == before


def runs(records: StudyRecords) -> set[str]:
    client = MlflowClient(tracking_uri=default_uri(records.directory))
    (experiment,) = [found for found in client.search_experiments() if found.name == "t"]
    return {run.info.run_id for run in client.search_runs([experiment.experiment_id])}


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_a_database_leaves_none(tmp_path: Path) -> None:
    code = "import sys, warnings; warnings.simplefilter('ignore'); from hjepa.search.tracking.store import connect"
    code += "; print(len(connect(sys.argv[1]).search_experiments()))"
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        deadline = time.monotonic() + 60
        while not any(size(path) > 10_000 for path in tmp_path.glob(".mlflow.db.*")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        assert killed.communicate() == (b"", None)
    assert not (tmp_path / "mlflow.db").exists()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def size(path: Path) -> int:
    """Bytes of a file; 0 of one that is gone: SQLite's journal comes and goes."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
