"""`hjepa-search report`: a study's results in one of several formats, and its figures as files."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hjepa.cli.options import StoreUri, StudySource
from hjepa.cli.sources import study_records


class ReportFormat(StrEnum):
    """Formats of a report."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"
    html = "html"


Written = Annotated[Path | None, typer.Option("--output", help="The file to write, instead of printing the report.")]
Plots = Annotated[
    Path | None, typer.Option("--plots", metavar="DIR", help="Write the figures there, too, as PNG and SVG.")
]


def report(
    source: StudySource,
    style: Annotated[ReportFormat, typer.Option("--format", help="How to print it.")] = ReportFormat.table,
    output: Written = None,
    plots: Plots = None,
    tracking_uri: StoreUri = None,
) -> None:
    """Print a study's results: an ablation's comparisons, configurations ranked, the floors, and what to do next.

    `latex` is a fragment for a document to take in, `html` one page with all figures in it that needs no network.
    """
    from hjepa.runtime.files import write_text
    from hjepa.search.reports import report as reports  # only now: its statistics take seconds to load

    with study_records(source, tracking_uri) as records:
        text = reports.report(records, style.value)
        if output is None:
            sys.stdout.write(text)
        else:
            write_text(output, text)
            print(f"{output}: {records.name} as {style.value}")
        if plots is not None:
            from hjepa.search.reports import figures

            for line in figures.save(reports.content(records), plots):
                print(line, file=sys.stderr)
