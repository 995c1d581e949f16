"""The peak of a process's resident memory, as that of each of the runs that follow one another in it."""

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

#: Where Linux begins to count a process's peak anew, and says it.
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """The peak resident memory of this process since the last `forget`.

    Linux can begin to count anew. Elsewhere (macOS, some containers) a process has one peak for its whole life: that
    is the peak of its first run, and of a later one only where this has raised it. What libraries keep of an earlier
    run counts in a later one's.
    """

    def __init__(self) -> None:
        self._runs = 0
        self._before = 0

    def forget(self) -> None:
        """A run begins."""
        _give_back()
        self._before = 0 if _cleared() or not self._runs else _peak()
        self._runs += 1

    def bytes(self) -> int | None:
        """The peak of the run; None where it lies below that of an earlier one, and so is not known."""
        peak = _peak()
        return peak if peak > self._before else None


def _give_back() -> None:
    """Let the C library return what it keeps of freed memory: most of what an earlier, larger run held."""
    with contextlib.suppress(OSError, AttributeError):  # only glibc has this
        ctypes.CDLL(None).malloc_trim(0)


def _cleared() -> bool:
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return _said() is not None


def _peak() -> int:
    """Of the process. Linux hands getrusage's value down to a child, so that a trial would report its parent's."""
    known = _said()
    if known is not None:
        return known
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _said() -> int | None:
    """What Linux says of it; None elsewhere."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
