"""The one place where a user's mistake becomes a line on stderr and exit code 2."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from hjepa.overrides import ConfigError


def run_app(app: typer.Typer, program: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit with its code; `arguments` default to those of the process.

    A ConfigError is printed as `error: ...`, one line a problem, and exits with 2; a file that cannot be read or
    written (a full disk, a read-only directory) is one line, too, and exits with 1.
    """
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name=program)
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {' '.join(problem.split())}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.strerror is None or error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
