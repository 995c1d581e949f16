"""Who holds the lock of a study: written into it, so that whoever is refused knows whom to wait for."""

import fcntl
import json
import logging
import os
import socket
import time
import uuid
from pathlib import Path
from typing import IO, Any

LOG = logging.getLogger("hjepa.search")

#: The lock that the one driver of a study holds.
LOCK = "driver.lock"


def enter(lock: IO[str]) -> str:
    """Write this process into a lock that it has just got, and return as which run.

    One that is left there was killed; a line says so.
    """
    before = _read(lock)
    if before:
        LOG.warning(
            "the run before was killed (%s); its lock is void, and this run goes on from its records", _who(before)
        )
    return sign(lock)


def sign(lock: IO[str]) -> str:
    """Write this process into a lock that it has got, and return as which run: another each time."""
    lock.truncate(0)
    run = uuid.uuid4().hex
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    signature = {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "run": run}
    lock.write(json.dumps(signature) + "\n")
    lock.flush()
    return run


def held(lock: IO[str]) -> str:
    """Who holds a lock that was refused, and what to do, as the end of a sentence."""
    there = _read(lock)
    if not there:
        return "; wait for it, or stop it"
    who = _who(there)
    if there.get("host") != socket.gethostname():
        return f" ({who}); wait for it, or stop it there; where that machine is gone, delete {lock.name}"
    if _alive(there.get("pid")):
        return f" ({who}); wait for it, or stop it with: kill {there['pid']}"
    return f" ({who}, which is gone: a process that it started still holds the lock); see: fuser {lock.name}"


def read(path: Path) -> dict[str, Any]:
    """Who signed a lock; nothing where there is none, or it says nothing."""
    try:
        with path.open() as lock:
            return _read(lock)
    except FileNotFoundError:
        return {}


def is_here(there: dict[str, Any]) -> bool:
    """Whether who signed a lock is a process of this machine."""
    return bool(there.get("host") == socket.gethostname())


def is_held(path: Path) -> bool:
    """Whether another process holds a lock."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _who(there: dict[str, Any]) -> str:
    return f"process {there.get('pid')} on {there.get('host')}, since {there.get('since')}"


def _read(lock: IO[str]) -> dict[str, Any]:
    """What a lock says; nothing where it says nothing that can be read."""
    lock.seek(0)
    try:
        content = json.loads(lock.read(1000))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
