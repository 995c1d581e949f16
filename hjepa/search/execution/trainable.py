"""A trial in its own process: the function that Ray Tune runs.

One worker runs here, through Ray Train's local mode; several go through `nested`. This is one of the
two edges at which every exception is caught: it becomes the trial's record before it is raised again.
"""

import traceback
from pathlib import Path
from typing import Any

from ray import tune
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from hjepa.runtime.files import out_of_storage
from hjepa.search.execution.nested import run_nested
from hjepa.search.execution.order import Order
from hjepa.search.execution.tether import orphaned, tethered
from hjepa.search.records import StudyRecords
from hjepa.search.states import CAUSES, cause_of
from hjepa.training import train


class TuneReporter:
    """Hands the scores of a rung to Tune, which answers by returning or by ending the function."""

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        """Report and go on. Raises SystemExit when the driver stops the trial."""
        tune.report(metrics)
        return True


def run_order(packed: dict[str, Any]) -> None:
    """Run one trial from where its directory stands."""
    order = Order.unpack(packed)
    try:
        if order.workers > 1:
            run_nested(order)
        else:
            _run_here(order)
    except Exception as error:
        told = traceback.format_exc()
        if out_of_storage(str(error)) or cause_of(told) in CAUSES:  # not the trial's fault: it may go on
            raise
        if orphaned(order):  # nobody is left to be told, and what failed is Ray
            raise
        reason = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        records = StudyRecords(Path(order.study), {})
        records.write_result(order.id, "failed", reason, traceback=told)
        raise


def _run_here(order: Order) -> None:
    def loop() -> None:
        train(order.parsed(), Path(order.directory), reporter=TuneReporter(), resume=True, test=order.test)

    with tethered(order):
        if not StudyRecords(Path(order.study), {}).has_ended(order.id):  # by a process that its driver left behind
            TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0)).fit()
