"""A trial of several workers: Ray Train inside a Tune function.

Reports go from rank 0 through a queue of one place to the Tune function, which passes them on itself.
Ray's own `TuneReportCallback` can deadlock at a trial's last report, and would report one per health
check; here the function thread also honours Tune's stop.
"""

import os
import threading
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray import tune
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Empty, Queue

from hjepa.search.execution.order import Order
from hjepa.search.execution.tether import tethered
from hjepa.training import train

#: How often Ray Train's controller looks at its workers, and so passes their reports on.
POLL_SECONDS = "0.3"
#: Restarts of a controller that finds no room before the trial is given up.
CONTROLLER_RETRIES = 3


class ToQueue(UserCallback):
    """Puts what rank 0 reports where the Tune function waits for it."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Rank 0's metrics of one report."""
        self.queue.put(metrics[0])


class TrainReporter:
    """Hands scores to Ray Train; every worker calls it at the same time.

    Rank 0 then waits for the verdict, and so do the others, for rank 0: a trial that is stopped does
    nothing more, and its record is as its last report left it.
    """

    def __init__(self, verdicts: Queue) -> None:
        self.verdicts = verdicts

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        """Report and go on; Tune stops a nested trial by ending its processes."""
        ray.train.report(metrics)
        if ray.train.get_context().get_world_rank() == 0:
            self.verdicts.get()
        return True


def run_nested(order: Order) -> None:
    """Run one trial on several workers and pass its reports to Tune. Raises what the workers raised."""
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = POLL_SECONDS
    reports, verdicts = (Queue(1, actor_options={"num_cpus": 0}) for _ in range(2))
    trainer = _trainer(order, reports, verdicts)
    errors: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that Tune watches
            errors.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    while True:
        alive = thread.is_alive()  # before the look into the queue, so that nothing put at the end is missed
        try:
            tune.report(reports.get(timeout=0.25))  # raises SystemExit when the trial is to stop
        except Empty:
            if not alive:
                break
        else:
            verdicts.put(True)
    if errors:
        raise errors[0]


def _trainer(order: Order, reports: Queue, verdicts: Queue) -> TorchTrainer:
    per_worker: dict[str, float] = {"CPU": order.cpus} | ({"GPU": order.gpus} if order.gpus else {})
    return TorchTrainer(
        _worker,
        train_loop_config={**order.pack(), "verdicts": verdicts},
        torch_config=TorchConfig(backend="nccl" if order.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=order.workers,
            use_gpu=bool(order.gpus),
            resources_per_worker=per_worker,
            placement_strategy="PACK",
        ),
        run_config=RunConfig(
            name=order.id,
            storage_path=str(Path(order.study) / "ray" / "train"),
            callbacks=[ToQueue(reports)],  # type: ignore[list-item]  # Ray's annotations are those of Train V1
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=CONTROLLER_RETRIES),  # type: ignore[call-arg]
        ),
    )


def _worker(packed: dict[str, Any]) -> None:
    """One rank of a trial; its process group is made by Ray Train."""
    order = Order.unpack(packed)
    if order.gpus:
        torch.cuda.set_device(get_device())
    reporter = TrainReporter(packed["verdicts"])
    with tethered(order, writes=ray.train.get_context().get_world_rank() == 0):
        train(order.parsed(), Path(order.directory), reporter=reporter, resume=True, test=order.test)
