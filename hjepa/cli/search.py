"""`hjepa-search`: check, plan, run, report, export and look at studies."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hjepa.cli import features as feature_table
from hjepa.cli.confirm import confirm
from hjepa.cli.errors import run_app
from hjepa.cli.export import export
from hjepa.cli.plan import plan
from hjepa.cli.report import report
from hjepa.cli.run import run
from hjepa.cli.status import status
from hjepa.cli.sync import sync
from hjepa.cli.ui import ui
from hjepa.config import Config
from hjepa.overrides import ConfigError, load_config, yaml12
from hjepa.runtime.files import to_json
from hjepa.search.schema import StudySpec
from hjepa.search.study import Study

app = typer.Typer(
    help="Search over configurations of a hierarchical JEPA, with Ray Tune, Optuna and MLflow.",
    epilog="Start with: hjepa-search run search_spaces/quickstart.yaml",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


class FeatureFormat(StrEnum):
    """Formats of the table of features."""

    table = "table"
    json = "json"
    markdown = "markdown"


def _version(asked: bool) -> None:
    if asked:
        print(f"hjepa-search {version('hjepa')}")
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Flags before the command."""


@app.command(epilog="Example: hjepa-search check search_spaces/*.yaml experiments/*.yaml")
def check(
    files: Annotated[list[Path], typer.Argument(help="Study and experiment files.")],
) -> None:
    """Check study and experiment files: every key, value, choice and bound, and the mask geometry."""
    problems: list[str] = []
    for file in files:
        try:
            kind = _check(file)
        except ConfigError as error:
            problems += error.problems
        else:
            print(f"{file}: {kind}, correct")
    if problems:
        raise ConfigError(problems)


def _check(file: Path) -> str:
    """Check one file and say what it is. Raises ConfigError naming the file."""
    tree = yaml12.read(file)
    try:
        found = Study.load(file) if isinstance(tree, dict) and "study" in tree else load_config(file)
        from hjepa.training import check as check_config

        if isinstance(found, Study):
            found.check(check_config)
            return "a study"
        check_config(found)
    except ConfigError as error:
        raise ConfigError([line if str(file) in line else f"{line} ({file})" for line in error.problems]) from None
    return "an experiment"


app.command(epilog="Example: hjepa-search plan search_spaces/phase1.yaml --trials 12 --epochs 6")(plan)


@app.command(epilog="Example: hjepa-search schema --study > study.schema.json")
def schema(
    study: Annotated[bool, typer.Option("--study", help="Of study files, not of experiment files.")] = False,
) -> None:
    """Print the JSON Schema of experiment files or study files, for editors to complete and check them."""
    print(to_json((StudySpec if study else Config).model_json_schema()))


@app.command(epilog="Example: hjepa-search features --format markdown")
def features(
    style: Annotated[FeatureFormat, typer.Option("--format", help="How to print it.")] = FeatureFormat.table,
) -> None:
    """List every setting: path, values, default, effect, when it is live, and its source."""
    sys.stdout.write(feature_table.render(style.value))


app.command(epilog="Example: hjepa-search run search_spaces/phase1.yaml --trials 12 --epochs 6")(run)
app.command(epilog="Example: hjepa-search status runs/quickstart --watch")(status)
app.command(epilog="Example: hjepa-search confirm runs/quickstart --top 3 --seeds 3")(confirm)
app.command(epilog="Example: hjepa-search report runs/quickstart --format html --output report.html")(report)
app.command(epilog="Example: hjepa-search export runs/quickstart --best --output best.yaml")(export)
app.command(epilog="Example: hjepa-search ui runs/quickstart")(ui)
app.command(epilog="Example: hjepa-search sync runs/quickstart")(sync)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    run_app(app, "hjepa-search", arguments)
