"""Whatever happens to a study's files, nothing that finished is lost or repeated: a damaged file is set aside and said
in one line, the others go on, and where nothing can be written the study is left with a clear message."""

import errno
import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from hjepa.cli.errors import run_app
from hjepa.overrides import ConfigError
from hjepa.runtime.files import out_of_storage, write_text
from hjepa.search.execution.interruption import NoStorage, writing
from hjepa.search.files import mend_journal, read_json
from hjepa.search.records import StudyRecords
from hjepa.search.status import status
from hjepa.search.study import Study
from tests.search.test_conductor import SPACE, Bench

MakeStudy = Callable[..., Study]
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def bench(make_study: MakeStudy, tmp_path: Path) -> Bench:
    """A search of four configurations of which three have run."""
    study = make_study(space=SPACE, budget={"trials": 4, "epochs": 3}, scheduler={"type": "none"})
    bench = Bench(study, tmp_path)
    conductor = bench.open()
    for score in (0.1, 0.2, 0.3):
        trial = conductor.next_trial()
        assert trial is not None
        bench.execute(conductor, trial, [score] * 3)
    return bench


def scores(bench: Bench) -> list[tuple[int, str, float | None]]:
    return [(trial.index, trial.state, trial.score) for trial in StudyRecords.open(bench.directory).trials()]


ENDED = [(0, "completed", 0.1), (1, "completed", 0.2), (2, "completed", 0.3)]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("damage", [b"", b'{"id": "x", ', b"\xff\x00", b'{"id": 3}'])
def test_a_damaged_trial_json_is_written_anew_and_its_trial_is_not_repeated(
    bench: Bench, caplog: pytest.LogCaptureFixture, index: int, damage: bytes
) -> None:
    lost = StudyRecords.open(bench.directory).trials()[index]
    (lost.directory / "trial.json").write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert scores(bench) == [row for row in ENDED if row[0] != index]
    assert [message.count("trial.json: not readable") for message in caplog.messages] == [1]
    assert (lost.directory / "trial.json.corrupt").read_bytes() == damage
    executed = list(bench.executed)
    bench.finish(bench.open(), lambda trial: 0.4)
    assert scores(bench) == [*ENDED, (3, "completed", 0.4)]
    assert bench.executed[:3] == executed
    assert len(set(bench.executed)) == len(bench.executed) == 4


def test_a_damaged_result_is_set_aside_each_time_under_a_new_name_and_its_trial_goes_on(bench: Bench) -> None:
    trial = StudyRecords.open(bench.directory).trials()[1]
    for number, damage in enumerate(['{"state": "completed", "metrics": "gone"}', '{"state": 7}', '{"state": "won"}']):
        (trial.directory / "result.json").write_text(damage)
        assert scores(bench)[1] == (1, "interrupted", 0.2)
        aside = trial.directory / f"result.json.corrupt{number + 1 if number else ''}"
        assert aside.read_text() == damage
    bench.finish(bench.open(), lambda trial: 0.2)
    assert scores(bench)[:3] == ENDED
    assert bench.executed.count(trial.id) == 2


def test_a_metrics_file_of_rubbish_harms_nothing(bench: Bench) -> None:
    trial = StudyRecords.open(bench.directory).trials()[1]
    rubbish = (
        b'[1]\n{"kind": "rung"}\n{"kind": "rung", "epoch": "x"}\n{"kind": "rung", "epoch": 1, "probe_rung.top1": "y"}\n'
    )
    (trial.directory / "metrics.jsonl").write_bytes(rubbish + b"[" * 100_000 + b"\n\xff\xfe\x00\n{")
    assert scores(bench) == ENDED
    (trial.directory / "result.json").unlink()
    assert scores(bench)[1] == (1, "interrupted", None)
    bench.open()


@pytest.mark.parametrize("cut", [5, 1])
def test_a_journal_that_was_cut_off_keeps_its_whole_lines(
    bench: Bench, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    journal = bench.directory / "journal"
    data = journal.read_bytes()
    journal.write_bytes(data[:-cut])
    with caplog.at_level(logging.WARNING):
        conductor = bench.open()
    assert [text for text in caplog.messages if "is cut off or no JSON; the lines before it are kept" in text]
    assert (journal.parent / "journal.corrupt").read_bytes() == data[:-cut]
    bench.finish(conductor, lambda trial: 0.4)
    assert scores(bench) == [*ENDED, (3, "completed", 0.4)]


def test_a_whole_journal_is_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    mend_journal(journal)
    assert not journal.exists()
    journal.write_bytes(b'{"a": 1}\n[2]\n')
    mend_journal(journal)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


@pytest.mark.parametrize("cut", [0, 20, 300])
def test_a_damaged_study_yaml_is_one_line_and_stays_as_it_is(bench: Bench, cut: int) -> None:
    path = bench.directory / "study.yaml"
    path.write_bytes(path.read_bytes()[:cut])
    before = path.read_bytes()
    for look in (StudyRecords.open, lambda place: StudyRecords.create_or_open(place, bench.study)):
        with pytest.raises(ConfigError) as caught:
            look(bench.directory)
        assert len(caught.value.problems) == 1
        assert str(path) in str(caught.value)
        assert "a new run needs another --output" in str(caught.value)
    assert path.read_bytes() == before


def test_who_holds_the_lock_is_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    records = StudyRecords.open(bench.directory)
    with records.driving():
        us = rf"\(process {os.getpid()} on {socket.gethostname()}, since \d.*kill"
        with pytest.raises(ConfigError, match=us), StudyRecords.open(bench.directory).driving():
            pass
        lock = bench.directory / "driver.lock"
        for there, said in [
            ({"host": "elsewhere", "pid": 1, "since": "s"}, "where that machine is gone, delete"),
            (
                {"host": socket.gethostname(), "pid": 2**22 + 1, "since": "s"},
                "which is gone: a process that it started",
            ),
        ]:
            lock.write_text(json.dumps(there))
            with pytest.raises(ConfigError, match=said), StudyRecords.open(bench.directory).driving():
                pass
    assert lock.read_text() == ""
    lock.write_text(json.dumps(there))  # as a killed driver leaves it
    with caplog.at_level(logging.WARNING), records.driving():
        assert ["the run before was killed" in text for text in caplog.messages] == [True]


def test_a_full_disk_is_named_loses_nothing_and_ends_the_study_not_the_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor = bench.open()
    trial = conductor.next_trial()
    assert trial is not None

    def full(handle: int) -> None:
        raise NO_SPACE

    monkeypatch.setattr("os.fsync", full)
    with (
        pytest.raises(NoStorage, match=r"No space left on device: .*trial\.json; every trial that ended is kept"),
        writing(),
    ):
        conductor.started(trial.id)
    monkeypatch.undo()
    with pytest.raises(NoStorage, match="No space left"), writing():
        conductor.failed(trial.id, f"Traceback\n{NO_SPACE}")
    assert scores(bench) == [*ENDED, (3, "pending", None)]
    assert not list(bench.directory.rglob(".*"))
    bench.finish(bench.open(), lambda trial: 0.4)
    assert scores(bench) == [*ENDED, (3, "completed", 0.4)]
    assert out_of_storage(str(NO_SPACE))
    assert not out_of_storage("KeyError: 3")


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_directory_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: int
) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    path = tmp_path / "x.json"
    app.command()(lambda: write_text(path, "x"))

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(SystemExit) as caught:
        run_app(app, "hjepa-search", [])
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"error: {path}: {os.strerror(fault)}\n"


def test_a_file_that_this_user_may_not_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read_json(tmp_path)


def test_a_clock_that_jumps_back_gives_no_negative_time(bench: Bench) -> None:
    records = StudyRecords.open(bench.directory)
    with records.driving():
        records.mark(records.trials()[0].id, mlflow_run_id=None)
        trial = bench.open().next_trial()
        assert trial is not None
        records.mark(trial.id, state="running")
        (trial.directory / "metrics.jsonl").write_text('{"kind": "step", "epoch": 0.5, "step": 1}\n')
        found = status(records, now=0.0)
    assert [running["silent"] for running in found["running"]] == [0.0]
