"""`hjepa-search plan`: what a study would run and what it would cost, before it runs."""

from typing import Annotated, Any

import typer

from hjepa.cli.options import Asked, asking
from hjepa.overrides import ConfigError

NoCalibrate = Annotated[
    bool, typer.Option("--no-calibrate", help="Train nothing: no estimate of time, device-hours and disk.")
]


@asking
def plan(asked: Asked, no_calibrate: NoCalibrate = False) -> None:
    """Show what a study would run - trials, epochs, rungs, dimensions, resources - and what it would cost.

    The cost is measured on this machine, by a few steps of each kind of configuration that differs in cost, a few
    seconds each and about a minute at most; nothing is written.
    """
    from hjepa.cli.studies import asked_for, resources_at
    from hjepa.search.plan import make_plan, render

    study, directory = asked_for(asked)
    found = make_plan(study, directory, resources_at(asked.address))
    typer.echo(render(found))
    if not no_calibrate:
        typer.echo(_cost(found))


def _cost(found: Any) -> str:
    """The measured cost as lines; one line where nothing can be measured here."""
    from rich.console import Console

    from hjepa.search.estimate import estimate, render
    from hjepa.search.execution.order import pinned
    from hjepa.training.calibrate import Cost, calibrate

    spec = found.study.spec
    console = Console(stderr=True, highlight=False)
    with console.status("calibrating") as shown:

        def measure(config: Any) -> Cost:
            return calibrate(pinned(config, spec.resources.cpus), test=found.study.design is not None)

        def progress(done: int, total: int, name: str) -> None:
            shown.update(f"calibrating {done + 1} of {total}: {name}")
            if not console.is_terminal:
                console.print(f"calibrating {done + 1} of {total}: {name}", markup=False, soft_wrap=True)

        try:
            return render(estimate(found, measure, progress))
        except ConfigError as error:
            return f"time         not estimated: {error}"
