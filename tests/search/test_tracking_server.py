"""A real MLflow server that is killed in the middle and started again holds everything in the end, and no secret."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hjepa.search.reports.report import report
from hjepa.search.tracking.mirror import Mirror, sync
from hjepa.search.tracking.source import rebuilt
from tests.tracked import Enter, MakeStudy, make_records, without_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(280),
]


class Server:
    """An `mlflow server` of its own, with its own files."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not self._answers():
            time.sleep(0.3)

    def kill(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    server = Server(folder)
    server.start()
    yield server
    server.kill()


def test_killed_in_the_middle_and_started_again(
    make_study: MakeStudy,
    enter: Enter,
    tmp_path: Path,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_page(monkeypatch)
    records = make_records(make_study, enter, tmp_path / "study")
    uri = f"http://user:secret@127.0.0.1:{server.port}"
    trials = records.trials()
    with records.driving():
        mirror = Mirror(records, uri)
        with mirror:
            mirror.changed(trials[0], {})
            deadline = time.monotonic() + 60
            while records.trial(trials[0].id).mlflow_run_id is None and time.monotonic() < deadline:
                time.sleep(0.2)
                mirror.changed(trials[0], {})
            server.kill()
            began = time.monotonic()
            for trial in trials[1:]:
                mirror.changed(trial, {})
            assert time.monotonic() - began < 0.5, "the driver never waits"
            mirror.finish(patience=60)
    assert mirror.problem is not None
    assert "did not take everything" in mirror.problem

    server.start()
    for _ in range(2):
        assert sync(records, uri) == []
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("t")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`hjepa.kind` = 'trial'")
    assert sorted(run.data.tags["hjepa.trial"] for run in runs) == sorted(trial.id for trial in trials)
    assert not [run for run in runs if run.info.status == "RUNNING"]
    losses = client.get_metric_history(str(records.trials()[0].mlflow_run_id), "loss")
    assert [(point.step, point.value) for point in losses] == [(10 * e, 1.0 / e) for e in (1, 2, 3, 4)]
    with rebuilt("t", uri) as again:
        assert report(again, "json") == report(records, "json")

    said = [mirror.problem, mirror.place, caplog.text, report(records, "markdown")]
    said += [file.read_text(errors="replace") for file in records.directory.rglob("*") if file.is_file()]
    said += [str(run.data.tags) for run in runs]
    assert not [text for text in said if "secret" in text]
