"""Ctrl-C, SIGTERM and the time budget: one request to stop, honoured at the next safe point."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any


class StopStudy(BaseException):
    """The driver leaves the study; not an Exception, so that nothing in between takes it for a failure."""


class NoStorage(StopStudy):
    """Nothing can be written any more."""


class RayLost(StopStudy):
    """Nothing can be executed any more."""


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Where a file of the study cannot be written, leave the study with a line that says which. Raises NoStorage."""
    try:
        yield
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise NoStorage(f"{error.strerror or error}{place}; every trial that ended is kept") from error


class Interruption:
    """While entered, SIGINT and SIGTERM ask for a stop instead of ending the process; twice ends it.

    `hours` is the time budget, from the moment of construction.
    """

    def __init__(self, hours: float | None = None) -> None:
        self._deadline = None if hours is None else time.monotonic() + 3600 * hours
        self._hours = hours
        self._before: dict[signal.Signals, Any] = {}
        self.by_signal: str | None = None
        #: Says why the study should stop, for another reason than time; None while it should not.
        self.limit: Callable[[], str | None] = lambda: None

    @property
    def reason(self) -> str | None:
        """Why the study should stop now; None when it should not."""
        if self.by_signal is not None:
            return self.by_signal
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"the budget of {self._hours:g} hours is spent"
        return self.limit()

    def check(self) -> None:
        """Raise StopStudy when the study should stop."""
        if self.reason is not None:
            raise StopStudy(self.reason)

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.getsignal(number)
        self.arm()
        return self

    def arm(self) -> None:
        """Take the signals; again after a library took them for itself, as `ray.init` does."""
        for number in self._before:
            signal.signal(number, self._ask)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.by_signal is not None:
            raise KeyboardInterrupt
        self.by_signal = f"stopped by {signal.Signals(number).name}"
