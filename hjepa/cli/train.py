"""`hjepa-train`: one experiment, standalone."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hjepa.cli.errors import run_app
from hjepa.config import Config
from hjepa.overrides import ConfigError, identity, load_config

#: Any of these in a directory means that a run lives there.
RUN_FILES = ("experiment.yaml", "metrics.jsonl", "checkpoint.pt", "result.json")
EXAMPLES = """Examples:

hjepa-train experiments/cifar10_tiny.yaml data.download=true

hjepa-train experiments/cifar10_tiny.yaml optim.lr=5e-4 model.layer_scale=1e-4 --output runs/layer_scale

hjepa-train --resume runs/layer_scale
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def train(
    experiment: Annotated[Path | None, typer.Argument(help="An experiment file.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH=VALUE]...", help="Settings that replace the file's.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the run is written; by default runs/<file>-<identity>.", show_default=False),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Continue the run in DIR, with its own settings.", show_default=False),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="At the end, score the test split once, into test.json.")
    ] = False,
) -> None:
    """Pretrain one model, probe it, and say what it is worth against its floors."""
    if resume is not None:
        if experiment is not None or settings or output is not None:
            raise ConfigError(
                ["--resume: takes its settings from the run; allowed no file, settings or --output with it"]
            )
        config, directory = _recorded(resume), resume
    elif experiment is None:
        raise ConfigError(["FILE: missing; allowed an experiment file, or --resume DIR"])
    else:
        config = load_config(experiment, settings or [])
        directory = output if output is not None else _default_directory(experiment, config)
        _refuse_occupied(directory)
    raise typer.Exit(_run(config, directory, resume=resume is not None, test=test))


def _run(config: Config, directory: Path, *, resume: bool, test: bool) -> int:
    """Train with a progress bar; the exit code."""
    from hjepa.cli.progress import TrainingProgress
    from hjepa.cli.summary import summary
    from hjepa.training import train as run_training

    try:
        with TrainingProgress() as progress:
            result = run_training(config, directory, resume=resume, test=test, progress=progress)
    except KeyboardInterrupt:
        flag = " --test" if test else ""
        if (directory / "checkpoint.pt").exists():
            again = f"continue with: hjepa-train --resume {shlex.quote(str(directory))}{flag}"
        else:
            again = "stopped before the first checkpoint; start it again"
        typer.echo(f"interrupted; {again}", err=True)
        return 130
    typer.echo(summary(result, directory))
    return 0 if result["state"] == "completed" else 1


def _recorded(directory: Path) -> Config:
    """The configuration of the run in a directory. Raises ConfigError when there is none."""
    if not (directory / "experiment.yaml").is_file():
        raise ConfigError([f"--resume: got {directory}; allowed a run's directory (no experiment.yaml there)"])
    return load_config(directory / "experiment.yaml")


def _default_directory(experiment: Path, config: Config) -> Path:
    """runs/<file stem>-<first digits of the run's identity>."""
    from hjepa.data import fingerprint

    return Path("runs") / f"{experiment.stem}-{identity(config, fingerprint(config.data))[:8]}"


def _refuse_occupied(directory: Path) -> None:
    """Raise ConfigError where a new run would overwrite something."""
    if directory.exists() and not directory.is_dir():
        raise ConfigError([f"--output: got {directory}; allowed a directory (this is a file)"])
    if any((directory / name).exists() for name in RUN_FILES):
        again = f"--resume {shlex.quote(str(directory))} continues it"
        raise ConfigError([f"--output: {directory} holds a run already; {again}, another --output DIR starts anew"])


def main() -> None:
    """The console script."""
    run_app(app, "hjepa-train")
