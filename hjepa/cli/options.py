"""Flags that several commands of `hjepa-search` share."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[Path, typer.Argument(help="A study file, for example search_spaces/quickstart.yaml.")]
StudyDirectory = Annotated[Path, typer.Argument(help="The directory of a study, for example runs/quickstart.")]
StudySource = Annotated[
    str, typer.Argument(help="The directory of a study; else the name of an MLflow experiment, read from there alone.")
]
StoreUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="Where the MLflow experiment is. [default: MLFLOW_TRACKING_URI]"),
]
Output = Annotated[Path | None, typer.Option("--output", help="The study's directory. [default: runs/<study>]")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="A setting of the base experiment; repeatable.")
]
Trials = Annotated[int | None, typer.Option("--trials", help="Configurations, instead of budget.trials.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs a trial, instead of budget.epochs.")]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", help="Seeds a configuration, instead of the file's; more extend a study that has run."),
]
Address = Annotated[str | None, typer.Option("--address", help="A running Ray cluster, for example auto.")]
