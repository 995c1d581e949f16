"""A trial is trained by one process at a time, and by none whose driver is gone.

Ray ends the processes of a driver that was killed, but not at once, and on another machine not soon. The same command,
given again, would train such a trial a second time into the same files. So the process that trains a trial holds a lock
in its folder, and looks every second whether its driver still drives the study; if not it ends, wherever it stands: the
trial goes on from its checkpoint.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hjepa.search import owner
from hjepa.search.execution.order import Order

#: Seconds between looks, and those that a process waits for another one to leave the trial.
LOOK, PATIENCE = 1.0, 120.0
#: Its lock, in the trial's folder.
LOCK = "worker.lock"


class Occupied(RuntimeError):
    """Another process still trains the trial."""


@contextlib.contextmanager
def tethered(order: Order, *, writes: bool = True) -> Iterator[None]:
    """While entered, this process ends when the order's run drives the study no more, and nobody else trains the trial.

    `writes` is False in a worker that writes nothing. Raises Occupied where another process does not leave in time.
    """
    over = threading.Event()
    if order.run is not None:
        threading.Thread(target=_watch, args=(order, over), name="tether", daemon=True).start()
    try:
        with alone(Path(order.directory)) if writes else contextlib.nullcontext():
            yield
    finally:
        over.set()


@contextlib.contextmanager
def alone(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Held by the one process that trains in a folder; what a killed one left half written there is removed."""
    deadline = time.monotonic() + patience
    with (folder / LOCK).open("a+") as lock:
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise Occupied(f"another process trains this trial{owner.held(lock)}")
            time.sleep(0.1)
        owner.sign(lock)
        for left in folder.glob(".*.*.*"):
            if not left.name.startswith(".trial.json."):  # the driver's
                left.unlink(missing_ok=True)
        yield


def orphaned(order: Order) -> bool:
    """Whether the order's run drives the study no more: another run does, or nobody on this machine."""
    lock = Path(order.study) / owner.LOCK
    there = owner.read(lock)
    if order.run is None or there.get("run", order.run) != order.run:
        return order.run is not None
    return (not there or owner.is_here(there)) and not owner.is_held(lock)


def _watch(order: Order, over: threading.Event) -> None:
    while not over.wait(LOOK):
        with contextlib.suppress(OSError):  # shared storage that does not answer says nothing
            if orphaned(order) and not over.is_set():
                os._exit(1)  # in the middle of whatever is going on: every file is written whole or not at all


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
