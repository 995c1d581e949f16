"""A person sees each trial's state, epoch, score, speed and time left, and the best so far; a file gets plain lines."""

import io
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from hjepa.search import live as live_module
from hjepa.search.files import read_json
from hjepa.search.live import LiveTable, aloud
from hjepa.search.records import TrialRecord


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live_module, "time", clock)
    return clock


@pytest.fixture
def trial(tmp_path: Path) -> Callable[..., TrialRecord]:
    def trial(name: str, state: str = "running", **fields: object) -> TrialRecord:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        record = TrialRecord(name, 0, "hash", "baseline", 0, {}, state, folder)
        return replace(record, **fields)  # type: ignore[arg-type]

    return trial


def shown(table: LiveTable) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(table.render())
    return out.getvalue()


def test_without_a_terminal_each_event_is_one_plain_line(trial: Callable[..., TrialRecord], clock: Clock) -> None:
    out = io.StringIO()
    table = LiveTable(out, epochs=4, trials=2, concurrent=1)
    with table:
        table.changed(trial("a", "pending"), {})
        table.changed(trial("a"), {})
        scored = trial("a", epoch=1, score=0.5, metric="probe_rung.top1")
        table.changed(scored, {"images_per_second": 1234.5})
        table.changed(scored, {})
        clock.now += 60
        done = trial("a", "completed", epoch=4, score=0.625, metric="probe.top1")
        table.changed(done, {})
        table.changed(trial("b", "failed", reason="ValueError: boom"), {})
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert "\x1b" not in out.getvalue()
    assert "running  epoch 1/4  probe_rung.top1 0.5000  1,234 images/s" in lines[1]
    assert "completed  epoch 4/4  probe.top1 0.6250" in lines[2]
    assert "1/2 trials ended, best 0.6250 (probe.top1, baseline), 1:00 so far" in lines[2]
    assert "(ValueError: boom)" in lines[3]


def test_between_rungs_the_trials_own_log_moves_the_table(trial: Callable[..., TrialRecord], clock: Clock) -> None:
    table = LiveTable(io.StringIO(), epochs=4, trials=3, concurrent=2)
    record = trial("a")
    table.changed(record, {})
    clock.now += 30
    line = {"kind": "step", "step": 6, "epoch": 1.5, "images_per_second": 800.0}
    (record.directory / "metrics.jsonl").write_text(json.dumps(line) + '\n{"kind": "st')
    text = shown(table)
    assert "1.5/4" in text
    assert "800" in text
    assert "0:50" in text, "1.5 epochs took 30 s, 2.5 are left"
    assert "at most about 1:45 left" in text, "2.5 + 2 x 4 epochs of 20 s, two at a time"


def test_a_full_score_beats_any_rung(trial: Callable[..., TrialRecord], clock: Clock) -> None:
    table = LiveTable(io.StringIO(), epochs=4, trials=3, concurrent=2)
    table.take_up([trial("old", "completed", epoch=4, score=0.4, metric="probe.top1")])
    table.changed(trial("a", epoch=1, score=0.9, metric="probe_rung.top1"), {})
    assert "best 0.4000 (probe.top1" in table.summary()
    assert "old" in shown(table)


def test_a_file_that_is_set_aside_is_said_and_stays_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal, broken = io.StringIO(), tmp_path / "trial.json"
    broken.write_text('{"id": ')
    with aloud(LiveTable(terminal, epochs=1, trials=1, concurrent=1)):
        read_json(broken)
        logging.getLogger("hjepa.search.tracking.mirror").warning("not logged to MLflow: no")
    logging.getLogger("hjepa.search").warning("nobody looks any more")
    said = terminal.getvalue()
    assert said.startswith(f"warning: {broken}: not readable (")
    assert said.endswith("; set aside as trial.json.corrupt\n")
    assert said.count("\n") == 1
    log = capsys.readouterr().err
    assert "set aside as trial.json.corrupt" in log
    assert "not logged to MLflow: no" in log
