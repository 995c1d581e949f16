"""`hjepa-search sync`: MLflow brought up to date with a study's files."""

import typer

from hjepa.cli.options import StudyDirectory
from hjepa.cli.run import TrackingUri


def sync(directory: StudyDirectory, tracking_uri: TrackingUri = None) -> None:
    """Log to MLflow what a study's files hold and the store does not; doing it again adds nothing."""
    from hjepa.search.records import StudyRecords
    from hjepa.search.tracking.address import masked
    from hjepa.search.tracking.mirror import place
    from hjepa.search.tracking.mirror import sync as bring_up_to_date

    records = StudyRecords.open(directory)
    problems = bring_up_to_date(records, tracking_uri)
    for line in problems:
        typer.echo(f"warning: {line}", err=True)
    count = len(records.trials())
    typer.echo(f"{records.name}: {count} trials are in {masked(place(records, tracking_uri))}")
