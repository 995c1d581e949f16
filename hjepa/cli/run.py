"""`hjepa-search run`: a study from its file to its report."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hjepa.cli.options import Asked, asking

if TYPE_CHECKING:
    from hjepa.search.plan import Plan

TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow store. [default: MLFLOW_TRACKING_URI, else the study's own]"),
]


Reuse = Annotated[
    list[Path] | None,
    typer.Option("--reuse", metavar="DIR", help="A study that has run: what is the same there is not run again."),
]


@asking
def run(asked: Asked, tracking_uri: TrackingUri = None, reuse: Reuse = None) -> None:
    """Run a study: what it asks for minus what its directory holds already.

    Trials and seeds that an earlier run has added stay.
    """
    from hjepa.cli.studies import asked_for, resources_at
    from hjepa.search.plan import make_plan

    study, directory = asked_for(asked)
    plan = make_plan(study, directory, resources_at(asked.address))
    execute(plan, directory, asked.address, tracking_uri, asked.extend, reuse or ())


def execute(
    plan: "Plan",
    reported: Path,
    address: str | None,
    tracking_uri: str | None,
    extend: int | None = None,
    reuse: Sequence[Path] = (),
) -> None:
    """Run a plan, print the report of the study in `reported`, and exit with a code where not all went well."""
    from hjepa.search.execution.runner import run_study
    from hjepa.search.plan import render
    from hjepa.search.records import StudyRecords
    from hjepa.search.reports.report import report

    directory = plan.directory
    typer.echo(render(plan), err=True)
    ending = run_study(plan, address=address, tracking_uri=tracking_uri, extend=extend, reuse=reuse)
    sys.stdout.write(report(StudyRecords.open(reported), "table"))
    typer.echo(_place(directory, ending.tracking))
    for line in (ending.exhausted, ending.untracked):
        if line is not None:
            typer.echo(f"warning: {line}", err=True)
    if ending.untracked is not None:
        again = f"hjepa-search sync {shlex.quote(str(directory))}"
        typer.echo(f"warning: the files hold everything; {again} logs the rest", err=True)
    if ending.stopped is not None:
        typer.echo(f"{ending.stopped}; go on with: {_again()}", err=True)
    if ending.broken:
        raise typer.Exit(1)
    if ending.by_signal:
        raise typer.Exit(130)
    if ending.stopped is None and all(trial.score is None for trial in StudyRecords.open(directory).trials()):
        typer.echo(f"no trial has a score; the reasons are in the report, the details in {directory}", err=True)
        raise typer.Exit(1)


def _again() -> str:
    """The command that goes on: the one that was given, word for word but for credentials."""
    from hjepa.search.tracking.address import masked

    return shlex.join(["hjepa-search", *map(masked, sys.argv[1:])])


def _place(directory: Path, tracking: str) -> str:
    own = tracking.startswith("sqlite:///")
    return f"MLflow: {f'hjepa-search ui {shlex.quote(str(directory))}' if own else tracking}"
