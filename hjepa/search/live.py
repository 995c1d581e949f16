"""What a person sees of a study while it runs: a table that keeps itself up to date, or a line an event."""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hjepa.search.files import LOG
from hjepa.search.goals import Goals
from hjepa.search.records import TrialRecord

#: Ended trials that stay in the table, the latest.
SHOWN_ENDED = 12
TAIL_BYTES = 8192


@dataclass
class _Row:
    """One trial as it is shown."""

    record: TrialRecord
    began: float | None = None
    began_epoch: float = 0.0
    epoch: float = 0.0
    rate: float | None = None
    shown: tuple[str, int | None, int] = field(default=("", None, 0))

    def left(self, epochs: int, now: float) -> float | None:
        """Seconds until the trial has had all its epochs, at its own pace."""
        done = self.epoch - self.began_epoch
        if self.record.state != "running" or self.began is None or done <= 0:
            return None
        return (now - self.began) * (epochs - self.epoch) / done


class _Aloud(logging.Handler):
    """Says the warnings about a study's files above its table; they stay in the log, with those of everything else."""

    def __init__(self, table: "LiveTable") -> None:
        super().__init__(logging.WARNING)
        self._table = table

    def emit(self, record: logging.LogRecord) -> None:
        """Say one."""
        sys.stderr.write(f"{record.getMessage()}\n")
        if record.name == LOG.name:
            self._table.say(f"warning: {record.getMessage()}")


@contextlib.contextmanager
def aloud(table: "LiveTable") -> Iterator["LiveTable"]:
    """While entered, whoever looks at the table also reads which file of the study was set aside, and why."""
    handler = _Aloud(table)
    LOG.addHandler(handler)
    try:
        yield table
    finally:
        LOG.removeHandler(handler)


class LiveTable:
    """Watches a study. On a terminal it is a table; elsewhere each event is a line."""

    def __init__(
        self, stream: TextIO, *, epochs: int, trials: int, concurrent: int, goals: Goals | None = None
    ) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())
        self._epochs, self._trials, self._concurrent, self._goals = epochs, trials, concurrent, goals
        self._rows: dict[str, _Row] = {}
        # The same rows by what they do, so that no event needs a look at each of thousands.
        self._going: dict[str, _Row] = {}
        self._waiting: dict[str, _Row] = {}
        self._ended: dict[str, _Row] = {}
        self._leaders: dict[bool, TrialRecord] = {}
        self._began = time.monotonic()
        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "LiveTable":
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line above the table."""
        self._console.print(Text(text))

    def take_up(self, records: list[TrialRecord]) -> None:
        """Trials of earlier runs of the study."""
        for record in records:
            row = self._rows[record.id] = _Row(record, shown=_shown(record))
            self._enter(row)

    def changed(self, record: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """A trial was written down, started, reported or ended."""
        row = self._rows.setdefault(record.id, _Row(record))
        row.record = record
        if record.state == "running" and row.began is None:
            row.began, row.began_epoch = time.monotonic(), float(record.epoch or 0)
        row.epoch = float(record.epoch if record.epoch is not None else row.epoch)
        row.rate = metrics.get("images_per_second", row.rate)
        self._enter(row)
        shown = _shown(record)
        again = shown[2] > row.shown[2]
        if again or (not self._live.is_started and row.shown != shown and record.state != "pending"):
            row.shown = shown
            self.say(self._line(row))

    def _enter(self, row: _Row) -> None:
        """Note what a row's trial does now, and whether it leads: by a full score, or by one at a rung."""
        record = row.record
        for group in (self._going, self._waiting):
            group.pop(record.id, None)
        group = self._ended if record.final else self._going if record.state == "running" else self._waiting
        group[record.id] = row
        if record.score is not None:
            full = record.state == "completed" if self._goals is None else self._goals.wins(record)
            if record.state == "completed" and not full:  # beyond a constraint: it can never win
                return
            leader = self._leaders.get(full)
            if leader is None or leader.id == record.id or record.score > (leader.score or 0.0):
                self._leaders[full] = record

    def render(self) -> Group:
        """The table and the line below it."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("trial", "configuration", "state", "epoch", "score", "images/s", "left"):
            table.add_column(name, justify="left" if name in ("trial", "configuration", "state") else "right")
        now = time.monotonic()
        for row in self._visible():
            self._follow(row)
            record = row.record
            epoch = f"{row.epoch:.1f}" if record.state == "running" else f"{row.epoch:.0f}"
            table.add_row(
                record.id,
                record.cell,
                record.state,
                f"{epoch}/{self._epochs}",
                _score(record),
                "" if row.rate is None else f"{row.rate:,.0f}",
                _clock(row.left(self._epochs, now)),
            )
        return Group(table, Text(self.summary()))

    def summary(self) -> str:
        """How far the study is, and the best score so far."""
        past = _clock(time.monotonic() - self._began)
        text = f"{len(self._ended)}/{self._trials} trials ended, best {self._best()}, {past} so far"
        left = self._left()
        return text if left is None else f"{text}, at most about {_clock(left)} left"

    def _left(self) -> float | None:
        """Seconds to the end if nothing more is stopped early: from what the trials took so far."""
        now = time.monotonic()
        paces = [
            (now - r.began) / (r.epoch - r.began_epoch) for r in self._running() if r.epoch > r.began_epoch and r.began
        ]
        if not paces:
            return None
        pace = sum(paces) / len(paces)
        started = sum(self._epochs - row.epoch for row in self._running())
        waiting = self._trials - len(self._ended) - len(self._going)
        return pace * (started + max(0, waiting) * self._epochs) / self._concurrent

    def _running(self) -> list[_Row]:
        return list(self._going.values())

    def _visible(self) -> list[_Row]:
        ended = list(islice(reversed(self._ended.values()), SHOWN_ENDED))[::-1]
        return [*ended, *self._running(), *islice(self._waiting.values(), SHOWN_ENDED)]

    def _best(self) -> str:
        """The best score that can win; before there is one, the best at a rung."""
        best = self._leaders.get(True, self._leaders.get(False))
        return "-" if best is None else f"{_score(best)} ({best.metric}, {best.cell})"

    def _line(self, row: _Row) -> str:
        record = row.record
        parts = [record.id, record.cell, record.state, f"epoch {row.epoch:.0f}/{self._epochs}"]
        if record.score is not None:
            parts.append(f"{record.metric} {record.score:.4f}")
        if row.rate is not None and record.state == "running":
            parts.append(f"{row.rate:,.0f} images/s")
        why = record.attempts[-1].get("reason") if record.attempts and record.state == "pending" else record.reason
        if record.lineage and record.state == "pending" and not record.attempts:
            why = record.inherited
        if why:
            parts.append(f"({why}; {record.retried})" if record.attempts else f"({why})")
        return "  ".join(parts) + f"  [{self.summary()}]"

    def _follow(self, row: _Row) -> None:
        """Between rungs, the epoch and the speed that the trial's own log shows."""
        if row.record.state == "running":
            last = last_step(row.record.directory / "metrics.jsonl")
            row.epoch = max(row.epoch, float(last.get("epoch", 0.0)))
            row.rate = last.get("images_per_second", row.rate)


def last_step(path: Path) -> dict[str, Any]:
    """The last whole step line of a metrics.jsonl; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:  # cut by the window, or being written
            continue
        if isinstance(entry, dict) and entry.get("kind") == "step":
            return entry
    return {}


def _shown(record: TrialRecord) -> tuple[str, int | None, int]:
    """What of a trial must change for it to be worth a line."""
    return record.state, record.epoch, len(record.attempts) + len(record.lineage)


def _score(record: TrialRecord) -> str:
    return "" if record.score is None else f"{record.score:.4f}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
