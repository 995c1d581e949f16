"""Which running trials hang: those that say nothing for many times the time that an epoch takes them."""

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hjepa.search.durations import clock
from hjepa.search.sections import Faults
from hjepa.search.trial_record import TrialRecord

#: Seconds of silence before a trial is hung where nothing is known of how long an epoch takes.
UNKNOWN = 3600.0
#: Seconds between looks, and latest epochs of the study that its median is taken of.
LOOK, LATEST = 1.0, 1000
#: Seconds without a look after which whoever looks was away: time that counts against nobody.
AWAY = 10.0


@dataclass
class _Life:
    """One attempt at a trial: when it began and was last heard of, and when which epoch was reported last."""

    log: Path
    began: float
    heard: float
    at: float
    epoch: int
    size: int
    silent: bool = True
    paces: list[float] = field(default_factory=list)


class Watch:
    """A watcher of a study that says which trials hang; a report or a line in its metrics.jsonl is a sign of life.

    Time is a clock that nobody sets. An attempt's first epoch counts with its start.
    """

    def __init__(self, faults: Faults, now: Callable[[], float] = time.monotonic) -> None:
        self._faults = faults
        self._now = now
        self._running: dict[str, _Life] = {}
        self._paces: deque[float] = deque(maxlen=LATEST)
        self._starts: deque[float] = deque(maxlen=LATEST)
        self._last: float | None = None

    def take_up(self, records: Iterable[TrialRecord]) -> None:
        """Learn from earlier runs of the study how long an epoch takes."""
        for record in records:
            seconds = record.result.get("seconds")
            if record.epoch and isinstance(seconds, int | float):
                self._paces.append(seconds / record.epoch)

    def changed(self, record: TrialRecord, metrics: Mapping[str, Any]) -> None:
        """A trial was written down, started, reported (then with metrics) or ended."""
        if record.state != "running":
            self._running.pop(record.id, None)
            return
        now, epoch = self._now(), record.epoch or 0
        if record.id not in self._running:
            log = record.directory / "metrics.jsonl"
            self._running[record.id] = _Life(log, now, now, now, epoch, _size(log))
            return
        life = self._running[record.id]
        self._hear(life, now)
        if metrics and epoch > life.epoch:
            pace = (now - life.at) / (epoch - life.epoch)
            life.paces.append(pace)
            self._paces.append(pace)
            life.epoch, life.at = epoch, now

    def hung(self) -> Iterator[tuple[str, str]]:
        """The trials that hang now, each with the reason; each again only after another such silence."""
        now = self._now()
        since = LOOK if self._last is None else now - self._last
        if self._faults.hung_after is None or since < LOOK:
            return
        self._last = now
        if since > AWAY:
            for life in self._running.values():
                life.heard = min(life.heard + since, now)
        for trial, life in list(self._running.items()):
            size = _size(life.log)
            if size != life.size:
                life.size = size
                self._hear(life, now)
            silence = now - life.heard
            if silence <= self._faults.hung_seconds:
                continue
            usual, named = self._usual(life)
            if usual is None:
                limit, said = UNKNOWN, f"more than {clock(UNKNOWN)}, and no epoch is known"
            else:
                limit, said = self._faults.hung_after * usual, f"{named} takes {clock(usual)}"
            if silence > limit:
                life.heard = now
                yield trial, f"hung: silent for {clock(silence)}; {said}"

    def _hear(self, life: _Life, now: float) -> None:
        if life.silent:
            self._starts.append(now - life.began)
        life.heard, life.silent = now, False

    def _usual(self, life: _Life) -> tuple[float | None, str]:
        """Seconds of what takes an attempt long without a word, and what that is."""
        if life.paces:
            epoch, named = statistics.median(life.paces), "its median epoch"
        elif self._paces:
            epoch, named = statistics.median(self._paces), "the study's median epoch"
        else:
            return None, ""
        if life.silent:  # maybe in a process that has just begun, which takes longer than one that trains on and on
            start, why = max(self._starts, default=0.0), "the slowest start of a trial"
        else:
            start, why = statistics.median(self._starts), "the start of a trial"
        return (epoch, named) if epoch >= start else (start, why)


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return -1
