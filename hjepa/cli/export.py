"""`hjepa-search export`: a trial as an experiment file, and its encoder as a registered MLflow model."""

from pathlib import Path
from typing import Annotated

import typer

from hjepa.cli.options import StoreUri, StudySource
from hjepa.cli.sources import study_records
from hjepa.overrides import ConfigError

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Register the trial's encoder as this MLflow model, too."),
]


def export(
    source: StudySource,
    output: Annotated[Path | None, typer.Option("--output", help="The experiment file to write.")] = None,
    best: Annotated[bool, typer.Option("--best", help="The best configuration by its mean over seeds.")] = False,
    trial: Annotated[str | None, typer.Option("--trial", metavar="ID", help="A trial by its id.")] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Each configuration of the Pareto front, into the directory of --output.")
    ] = False,
    model: Model = None,
    tracking_uri: StoreUri = None,
) -> None:
    """Write a trial as one experiment file that `hjepa-train` runs to the same score, or register its encoder."""
    if best + (trial is not None) + pareto != 1:
        raise ConfigError(["export: allowed exactly one of --best, --trial ID and --pareto"])
    if pareto and (output is None or model is not None or output.is_file()):
        raise ConfigError(["export: allowed --pareto with --output DIR, and without --model"])
    if output is None and model is None:
        raise ConfigError(["export: allowed --output FILE, --model NAME, or both"])
    if model is not None and not Path(source).is_dir():
        raise ConfigError([f"--model: got {model} with {source}; allowed with a study's directory, for its checkpoint"])
    from hjepa.search import export as exports

    with study_records(source, tracking_uri) as records:
        if pareto and output is not None:
            for found in exports.on_front(records):
                exports.export(records, found, output / f"{found.cell}.yaml")
                print(f"{output / found.cell}.yaml: trial {found.id}")
            return
        record = exports.select(records, trial)
        named = f"trial {record.id} ({record.cell}; {exports.standing_of(records, record)})"
        if output is not None:
            exports.export(records, record, output)
            print(f"{output}: {named}")
            print(f"train it with: hjepa-train {output}")
        if model is not None:
            from hjepa.search.tracking.mirror import register_model

            version = register_model(records, record, model, tracking_uri)
            print(f"{model} version {version}: {named}")
            print(f'load it with: mlflow.pyfunc.load_model("models:/{model}/{version}")')
