"""A trial hangs when it is silent for many of its median epochs, never sooner than a stated time, and whatever speaks
- a report, a line in its log - is a sign of life."""

from dataclasses import replace
from pathlib import Path

import pytest

from hjepa.search.sections import Faults
from hjepa.search.trial_record import TrialRecord
from hjepa.search.watch import UNKNOWN, Watch


class Clock:
    """A watch over one study at a time that this test sets."""

    def __init__(self, folder: Path, **faults: float | None) -> None:
        self.now = 0.0
        self.watch = Watch(
            Faults.model_validate({"hung_after": 10.0, "hung_seconds": 30.0, **faults}), lambda: self.now
        )
        self.folder = folder

    def record(self, name: str, epoch: int | None = None, state: str = "running") -> TrialRecord:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return TrialRecord(name, 0, "c", "cell", 0, {}, state, folder, epoch=epoch)

    def after(self, seconds: float, name: str, epoch: int | None = None, state: str = "running") -> None:
        self.now += seconds
        self.watch.changed(self.record(name, epoch, state), {"epoch": epoch} if epoch and state == "running" else {})

    def hung(self, after: float = 0.0) -> dict[str, str]:
        """What hangs within so many seconds, looked at often."""
        found: dict[str, str] = {}
        end = self.now + after
        while self.now < end:
            found |= self.watch.hung()
            self.now = min(end, self.now + 1.0)
        return found | dict(self.watch.hung())


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def speak(clock: Clock, name: str) -> None:
    with (clock.folder / name / "metrics.jsonl").open("a") as log:
        log.write("{}\n")


def test_ten_median_epochs_of_its_own(clock: Clock) -> None:
    clock.after(0, "a")
    speak(clock, "a")
    assert clock.hung(1) == {}
    for epoch, seconds in enumerate((19, 8, 8, 80), start=1):
        clock.after(seconds, "a", epoch)
    assert clock.hung(139) == {}, "ten times the mean of 8 and 20"
    assert clock.hung(2) == {"a": "hung: silent for 2 min 21 s; its median epoch takes 14 s"}


def test_what_takes_long_at_the_start_may_take_long_at_the_end(clock: Clock) -> None:
    clock.after(0, "a")
    for epoch, seconds in enumerate((50, 1, 1, 1), start=1):
        clock.after(seconds, "a", epoch)
    assert clock.hung(499) == {}
    assert clock.hung(2) == {"a": "hung: silent for 8 min 21 s; the start of a trial takes 50 s"}


def test_a_process_that_has_just_begun_may_take_as_long_as_the_slowest(clock: Clock) -> None:
    for name, seconds in (("a", 20), ("b", 2), ("c", 2)):
        clock.after(0, name)
        for epoch in (1, 2):
            clock.after(seconds if epoch == 1 else 1, name, epoch)
        clock.after(0, name, 2, "completed")
    clock.after(0, "d")
    assert clock.hung(199) == {}
    assert clock.hung(2) == {"d": "hung: silent for 3 min 21 s; the slowest start of a trial takes 20 s"}


def test_the_reason_names_what_is_known(clock: Clock) -> None:
    clock.after(0, "a")
    speak(clock, "a")
    assert clock.hung(1) == {}
    for epoch in (1, 2, 3):
        clock.after(9, "a", epoch)
    assert clock.hung(89) == {}
    assert clock.hung(3) == {"a": "hung: silent for 1 min 31 s; its median epoch takes 9.0 s"}
    assert clock.hung(5) == {}, "it is said once, and again only after another such silence"
    assert list(clock.hung(100)) == ["a"]


def test_a_line_in_its_log_is_a_sign_of_life(clock: Clock) -> None:
    clock.after(0, "a")
    clock.after(4, "a", 1)
    for _ in range(5):
        speak(clock, "a")
        assert clock.hung(35) == {}
    assert list(clock.hung(41)) == ["a"]


def test_before_its_first_epoch_the_study_s_and_where_nothing_is_known_an_hour(clock: Clock) -> None:
    clock.after(0, "a")
    assert clock.hung(UNKNOWN - 1) == {}
    assert "no epoch is known" in clock.hung(2)["a"]
    clock.after(0, "a", state="completed")
    assert clock.hung(2 * UNKNOWN) == {}, "it has ended"
    done = replace(clock.record("b", 4, "completed"), result={"seconds": 20.0})
    clock.watch.take_up([done, clock.record("c")])
    clock.after(0, "d")
    assert clock.hung(49) == {}
    assert clock.hung(3)["d"] == "hung: silent for 51 s; the study's median epoch takes 5.0 s"


def test_no_trial_hangs_before_the_stated_time_or_where_none_may(clock: Clock, tmp_path: Path) -> None:
    never = Clock(tmp_path, hung_after=None)
    for watched in (clock, never):
        watched.after(0, "a")
        for epoch in (1, 2, 3):
            watched.after(0.1, "a", epoch)
    assert clock.hung(29) == {}
    assert list(clock.hung(3)) == ["a"]
    assert never.hung(1e4) == {}


def test_a_resumed_attempt_is_a_new_one(clock: Clock) -> None:
    clock.after(0, "a", 1)
    clock.after(5, "a", 2)
    clock.after(100, "a", 2, state="pending")
    clock.after(1000, "a", 2)
    assert clock.hung(31) == {}
    assert clock.hung(30) != {}


def test_while_the_driver_was_away_nobody_hung(clock: Clock) -> None:
    clock.after(0, "a")
    assert clock.hung(5) == {}
    clock.after(1, "a", 1)
    clock.now += 10_000
    assert clock.hung() == {}
    assert clock.hung(55) == {}
    assert list(clock.hung(10)) == ["a"]
