"""`hjepa-search status`: where a study stands, from another terminal."""

import contextlib
import time
from typing import Annotated

import typer

from hjepa.cli.options import StudyDirectory

Watch = Annotated[bool, typer.Option("--watch", help="Go on showing it, every two seconds, until nothing runs.")]

#: Seconds between looks.
INTERVAL = 2.0


def status(directory: StudyDirectory, watch: Watch = False) -> None:
    """Say where a study stands: what runs, the best so far, failures, cost and time left. Reads files only."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from hjepa.search.records import StudyRecords
    from hjepa.search.status import render
    from hjepa.search.status import status as status_of

    records = StudyRecords.open(directory)
    if not watch:
        typer.echo(render(status_of(records)))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            found = status_of(StudyRecords.open(directory))
            live.update(Text(render(found)), refresh=True)
            if not found["driven"]:
                return
            time.sleep(INTERVAL)
