"""Flags that several commands of `hjepa-search` share."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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
Extend = Annotated[
    int | None, typer.Option("--extend", help="So many configurations more than a study that has run was asked for.")
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", help="Epochs a trial, instead of budget.epochs; others are trials of their own."),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", help="Seeds a configuration, instead of the file's; more extend a study that has run."),
]
Address = Annotated[str | None, typer.Option("--address", help="A running Ray cluster, for example auto.")]


@dataclass(frozen=True)
class Asked:
    """What `plan` and `run` are asked for: a study, where it lies, how much of it, and where it runs."""

    file: StudyFile
    output: Output = None
    sets: Sets = None
    trials: Trials = None
    extend: Extend = None
    epochs: Epochs = None
    seeds: Seeds = None
    address: Address = None


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first argument is made of flags, one for each field of Asked, beside the flags of its own."""
    shared = list(inspect.signature(Asked).parameters.values())
    own = list(inspect.signature(command).parameters.values())[1:]

    def spread(**flags: Any) -> None:
        asked = Asked(**{field.name: flags.pop(field.name) for field in shared})
        command(asked, **flags)

    spread.__name__, spread.__doc__ = command.__name__, command.__doc__
    spread.__annotations__ = {field.name: field.annotation for field in (*shared, *own)}
    spread.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]  # where Typer looks
    return spread
