"""MLflow holds what the files hold: once, whatever went down in between, and never a credential."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from hjepa.overrides import ConfigError
from hjepa.search.records import StudyRecords
from hjepa.search.tracking.address import default_uri, masked, without_credentials
from hjepa.search.tracking.mirror import Mirror, sync
from tests.tiny import MODEL
from tests.tracked import Enter, MakeStudy, make_records, without_page, write_run

#: MLflow's own database code uses a loader option that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.slow


@pytest.fixture
def records(
    make_study: MakeStudy, enter: Enter, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> StudyRecords:
    """Trials of every kind: completed, stopped early, diverged, interrupted, completed."""
    without_page(monkeypatch)
    records = make_records(make_study, enter, tmp_path / "study")
    (records.directory / "mlflow.db").write_bytes(empty_store.read_bytes())
    return records


def runs(uri: str) -> tuple[Run, dict[str, Run]]:
    """The parent run, and the child of each trial."""
    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [found for found in client.search_experiments() if found.name == "t"]
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in found if run.data.tags["hjepa.kind"] == "study"]
    children = [run for run in found if run is not parent]
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in children)
    by_trial = {run.data.tags["hjepa.trial"]: run for run in children}
    assert len(by_trial) == len(children), "one run a trial"
    return parent, by_trial


def history(uri: str, run: Run, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, metric)]


def test_the_store_says_what_the_files_say(records: StudyRecords) -> None:
    sync(records)
    uri = default_uri(records.directory)
    parent, children = runs(uri)
    assert parent.data.tags["hjepa.best_trial"] == records.trials()[4].id
    assert set(children) == {trial.id for trial in records.trials()}
    statuses = [children[trial.id].info.status for trial in records.trials()]
    assert statuses == ["FINISHED", "KILLED", "FAILED", "KILLED", "FINISHED"]
    for trial in records.trials():
        run = children[trial.id]
        assert trial.mlflow_run_id == run.info.run_id
        assert run.data.tags["hjepa.state"] == trial.state
        assert run.data.tags["hjepa.config"] == trial.config
        assert run.data.tags["hjepa.threads"] == "1"
        assert run.data.tags["hjepa.version.hjepa"] == "0"
        expected = {"optim.lr": str(trial.overrides.get("optim.lr", 0.001)), "model.layer_scale": "null"}
        assert {name: run.data.params[name] for name in expected} == expected
        if trial.final:
            assert run.data.metrics.get("score") == trial.score
    first = children[records.trials()[0].id]
    assert history(uri, first, "probe_rung.top1") == [(epoch, 0.5) for epoch in (1, 2, 3, 4)]
    assert history(uri, first, "loss") == [(10 * epoch, 1.0 / epoch) for epoch in (1, 2, 3, 4)]
    assert first.info.artifact_uri.startswith(records.directory.absolute().as_uri())


def test_logging_again_adds_nothing_and_going_on_adds_the_rest(records: StudyRecords, make_study: MakeStudy) -> None:
    sync(records)
    uri = default_uri(records.directory)
    before = {trial: run.info.run_id for trial, run in runs(uri)[1].items()}
    sync(records)
    for trial in records.trials():  # the record forgets the run: found by its tags
        records.mark(trial.id, mlflow_run_id=None)
    last = records.trials()[3]
    write_run(last, make_study(base=MODEL), epochs=3, score=0.4)
    records.write_result(last.id, "early_stopped", "below the bar")
    sync(records)
    _, children = runs(uri)
    assert {trial: run.info.run_id for trial, run in children.items()} == before
    assert history(uri, children[records.trials()[0].id], "loss") == [(10 * e, 1.0 / e) for e in (1, 2, 3, 4)]
    assert history(uri, children[last.id], "loss") == [(10, 1.0), (20, 0.5), (30, 1.0 / 3)]
    assert children[last.id].data.tags["hjepa.reason"] == "below the bar"
    first = history(uri, children[records.trials()[0].id], "score")
    assert first == [(4, 0.5)]


def test_what_was_logged_without_an_answer_is_not_logged_twice(
    records: StudyRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server took a batch and died before it said so: the same points again are the same points."""
    sync(records)
    uri = default_uri(records.directory)
    client = MlflowClient(tracking_uri=uri)
    for run in runs(uri)[1].values():
        client.set_tag(run.info.run_id, "hjepa.lines", "0")
        client.set_tag(run.info.run_id, "hjepa.state", "running")
    sync(records)
    first = runs(uri)[1][records.trials()[0].id]
    assert history(uri, first, "loss") == [(10 * e, 1.0 / e) for e in (1, 2, 3, 4)]
    assert history(uri, first, "score") == [(4, 0.5)]


def test_a_run_holds_its_record_and_the_best_their_checkpoint(records: StudyRecords) -> None:
    sync(records)
    client = MlflowClient(tracking_uri=default_uri(records.directory))
    parent, children = runs(default_uri(records.directory))

    def held(run: Run, folder: str | None = None) -> set[str]:
        return {Path(item.path).name for item in client.list_artifacts(run.info.run_id, folder)}

    for trial in records.trials():
        best = {"checkpoint.pt"} if trial.state == "completed" else set()
        assert held(children[trial.id]) == {"record"} | best
        files = {"trial.json", "result.json", "metrics.jsonl", "experiment.yaml"}
        assert held(children[trial.id], "record") == files | ({"test.json"} if best else set())
    assert held(parent, "record") == {"study.yaml", "environment.json"}
    assert {"report.md", "report.json"} <= held(parent, "report")
    assert "| rank |" in parent.data.tags["mlflow.note.content"], "the report is the description of the study's run"


def test_times_are_those_of_the_run(records: StudyRecords) -> None:
    """Also what is logged long afterwards: duration and relative time mean something."""
    trial = records.trials()[0]
    for name, when in (("experiment.yaml", 1000), ("metrics.jsonl", 1400)):
        os.utime(trial.directory / name, (when, when))
    sync(records)
    run = runs(default_uri(records.directory))[1][trial.id]
    assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_400_000)
    client = MlflowClient(tracking_uri=default_uri(records.directory))
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [point.timestamp for point in points] == [1_100_000, 1_200_000, 1_300_000, 1_400_000]


def test_two_studies_of_one_name_share_a_store_without_mixing(
    records: StudyRecords, make_study: MakeStudy, enter: Enter, tmp_path: Path
) -> None:
    uri = default_uri(records.directory)
    sync(records, uri)
    study = make_study(base=MODEL)
    other = StudyRecords.create_or_open(tmp_path / "other", study, "data")
    trial = enter(other, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.9})
    sync(other, uri)
    found = MlflowClient(tracking_uri=uri).search_runs(["1"], f"tags.`hjepa.trial` = '{trial.id}'")
    assert len(found) == 2
    assert len({run.data.tags["mlflow.parentRunId"] for run in found}) == 2


def test_a_checkpoint_that_cannot_be_read_is_said_and_costs_nothing_else(records: StudyRecords) -> None:
    best = records.trials()[4]
    (best.directory / "checkpoint.pt").write_bytes(b"weights")
    (problem,) = sync(records)
    assert "the best encoder is no MLflow model" in problem
    parent, children = runs(default_uri(records.directory))
    assert len(children) == 5
    assert parent.data.tags["hjepa.best_trial"] == best.id


def test_nobody_else_logs_a_study_that_runs(records: StudyRecords) -> None:
    with records.driving(), pytest.raises(ConfigError, match="logs it itself"):
        sync(records)


def test_a_part_is_logged_with_its_study(records: StudyRecords, make_study: MakeStudy, enter: Enter) -> None:
    study = make_study(base=MODEL, study="t-part")
    part = StudyRecords.create_or_open(records.directory / "part", study, "data")
    enter(part, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.7})
    assert default_uri(part.directory) == default_uri(records.directory)
    sync(part)
    client = MlflowClient(tracking_uri=default_uri(records.directory))
    experiment = client.get_experiment_by_name("t")
    assert experiment is not None
    studies = client.search_runs([experiment.experiment_id], "tags.`hjepa.kind` = 'study'")
    assert {run.info.run_name for run in studies} == {"t", "t-part"}, "both are up to date"


def test_the_mirror_follows_a_running_study(records: StudyRecords) -> None:
    with records.driving():
        mirror = Mirror(records)
        with mirror:
            for trial in records.trials():
                mirror.changed(trial, {})
            mirror.finish()
    assert mirror.problem is None
    assert all(trial.mlflow_run_id for trial in records.trials())
    assert len(runs(default_uri(records.directory))[1]) == 5


class Broken(BaseHTTPRequestHandler):
    """A tracking server that has a fault."""

    def do_GET(self) -> None:
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def broken_server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("dead", [True, False], ids=["nobody answers", "answers with errors"])
def test_a_server_that_is_down_costs_nothing_and_is_made_up_for(
    records: StudyRecords, broken_server: str, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "http://user:secret@127.0.0.1:9" if dead else broken_server
    mirror = Mirror(records, uri)
    with mirror:
        began = time.monotonic()
        for trial in records.trials():
            mirror.changed(trial, {})
        assert time.monotonic() - began < 0.5, "the driver never waits"
        mirror.finish(patience=20)
    assert mirror.problem is not None
    assert "secret" not in mirror.problem + mirror.place
    assert all(trial.mlflow_run_id is None for trial in records.trials())
    sync(records)
    assert len(runs(default_uri(records.directory))[1]) == 5


class Slow(Broken):
    """A tracking server that takes five seconds for anything."""

    ended = threading.Event()

    def do_GET(self) -> None:
        self.ended.wait(5)
        super().do_GET()

    do_POST = do_GET


def test_a_slow_server_costs_the_end_its_patience_and_the_trials_nothing(
    records: StudyRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with HTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = Mirror(records, f"http://127.0.0.1:{server.server_port}")
        with mirror:
            began = time.monotonic()
            for trial in records.trials():
                mirror.changed(trial, {})
            assert time.monotonic() - began < 0.5, "the driver never waits"
            mirror.finish(patience=1)
            assert time.monotonic() - began < 3
        assert mirror.problem is not None
        assert "within 1 s" in mirror.problem
        Slow.ended.set()
        server.shutdown()
    assert sync(records, default_uri(records.directory)) == []


def test_a_locked_database_is_waited_for_by_nobody_and_takes_everything_later(records: StudyRecords) -> None:
    lock = sqlite3.connect(records.directory / "mlflow.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    mirror = Mirror(records)
    with mirror:
        began = time.monotonic()
        for trial in records.trials():
            mirror.changed(trial, {})
        mirror.finish(patience=1)
        assert time.monotonic() - began < 3
    assert mirror.problem is not None
    lock.execute("ROLLBACK")
    lock.close()
    mirror.finish(patience=60)
    assert sync(records) == []
    assert len(runs(default_uri(records.directory))[1]) == 5


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:////abs/mlflow.db", "sqlite:////abs/mlflow.db"),
        ("sqlite:////abs/a@b#1/mlflow.db", "sqlite:////abs/a@b#1/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://user:secret@host:5000/path?token=secret", "https://host:5000/path"),
        ("https://host/path?token=a@secret", "https://host/path"),
        ("https://secret@host/path", "https://host/path"),
        ("postgresql://user:secret@host/db", "postgresql://host/db"),
        ("https://user:a@secret@host/", "https://host/"),
        ("https://user:secret/secret@host/path", "https://host/path"),
        ("https://user:secret?secret@host/path", "https://host/path"),
        ("https://user:secret#secret@host/path", "https://host/path"),
        ("https://user@there:secret?secret@host/path", "https://host/path"),
        ("http://user:secret@[::1", "http://[::1"),
    ],
)
def test_addresses_are_shown_without_credentials(uri: str, shown: str) -> None:
    assert masked(uri) == shown
    assert "secret" not in without_credentials(f"failed at {uri}: no")
    assert masked(f"--tracking-uri={uri}") == f"--tracking-uri={shown}"


def test_secrets_are_cut_out_as_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-of-mine")
    said = without_credentials("no: se/cret, se%2Fcret, key=a or token-of-mine", "https://me:se%2Fcret@host/x?key=a")
    assert said == "no: ***, ***, *** or ***"
    assert without_credentials("nothing of this is secret", "http://host:5000") == "nothing of this is secret"


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user:secret@host:abc/db",
        "mssql://user:secret@host/db",
        "http://user:secret@[::1",
        "no://a:secret@b",
    ],
)
def test_what_is_no_store_is_a_line_and_costs_a_study_nothing(records: StudyRecords, uri: str) -> None:
    with pytest.raises(ConfigError) as refused:
        sync(records, uri)
    mirror = Mirror(records, uri)
    with mirror:
        mirror.changed(records.trials()[0], {})
        mirror.finish(patience=20)
    assert mirror.problem is not None
    assert "did not take everything: " in mirror.problem
    assert "driver.log" not in mirror.problem
    assert "secret" not in str(refused.value) + mirror.problem
