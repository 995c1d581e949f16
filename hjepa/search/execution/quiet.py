"""The noise of engines and workers goes to a file; what a person should read goes to the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def diverted(log: Path) -> Iterator[TextIO]:
    """While entered, stdout and stderr of this process and of those it starts are appended to `log`.

    Yields a stream to the former stderr. Works on the file descriptors, as Ray's processes and C++ code
    write there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    terminal = os.fdopen(os.dup(saved[2]), "w", buffering=1, encoding="utf-8", errors="replace")
    streams = sys.stdout, sys.stderr
    try:
        with log.open("a", buffering=1, encoding="utf-8", errors="replace") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.stdout = sys.stderr = file
            yield terminal
    finally:
        sys.stdout, sys.stderr = streams
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        terminal.close()
