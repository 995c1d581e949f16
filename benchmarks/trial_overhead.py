"""What a short trial costs beyond its own work: this project's fast path against Ray's documented nesting.

    python benchmarks/trial_overhead.py [--trials 8]

Fast: the function that `hjepa-search run` gives to Tune (Ray Train's local mode, reused actors).
Nested: `TorchTrainer(num_workers=1)` with `TuneReportCallback` inside a Tune function, as Ray's guide
"Hyperparameter Tuning with Ray Tune" has it, at its default settings. Both run the same tiny digits
experiment, one trial after another, on one local Ray. A trial's own work is the time inside
`hjepa.training.train`, measured in the process that trains; all the rest of `Tuner.fit` is overhead.
The goal is at most one second a trial for the fast path.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import train as ray_train
from ray import tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from hjepa.data import fingerprint
from hjepa.overrides import load_config
from hjepa.search.execution import trainable
from hjepa.search.execution.order import Order, pinned
from hjepa.search.execution.quiet import diverted
from hjepa.search.execution.session import ray_session
from hjepa.training import train

Trial = Callable[[dict[str, Any]], None]

GOAL_SECONDS = 1.0
TINY = [
    "data.train_size=100",
    "model.size=null",
    "model.width=16",
    "model.depth=1",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "hierarchy.levels=1",
    "optim.batch_size=50",
    "training.epochs=1",
    "runtime.device=cpu",
]


def timed(config: Any, directory: Path, **keywords: Any) -> dict[str, Any]:
    """`train`, leaving how long it took beside its other files."""
    began = time.perf_counter()
    result = train(config, directory, **keywords)
    (directory / "work.json").write_text(json.dumps(time.perf_counter() - began))
    return result


def fast(packed: dict[str, Any]) -> None:
    """A trial as `hjepa-search run` executes it."""
    trainable.train = timed
    trainable.run_order(packed)


class TrainReporter:
    """Reports to Ray Train."""

    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        """Report and go on."""
        ray_train.report(metrics)
        return True


def nested(packed: dict[str, Any]) -> None:
    """A trial by the documented recipe."""

    def worker() -> None:
        order = Order.unpack(packed)
        timed(order.parsed(), Path(order.directory), reporter=TrainReporter())

    run = RunConfig(
        name=packed["id"],
        storage_path=str(Path(json.loads(packed["order"])["study"]) / "train"),
        callbacks=[TuneReportCallback()],
    )
    TorchTrainer(worker, scaling_config=ScalingConfig(num_workers=1), run_config=run).fit()


def measure(
    function: Callable[[dict[str, Any]], None], trials: int, *, cpus: float, reuse: bool
) -> tuple[float, float]:
    """Seconds of the whole study and of its trials' own work."""
    with tempfile.TemporaryDirectory() as folder:
        config = pinned(load_config(overrides=TINY), 1).model_dump_json()
        orders = []
        for number in range(trials):
            directory = Path(folder) / "trials" / str(number)
            directory.mkdir(parents=True)
            orders.append(Order(f"t{number}", config, str(directory), folder).pack())
        tuner = tune.Tuner(
            tune.with_resources(lambda packed: function(packed["trial"]), {"CPU": cpus}),
            param_space={"trial": tune.grid_search(orders)},
            tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=reuse),
            run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0),
        )
        began = time.perf_counter()
        results = tuner.fit()
        whole = time.perf_counter() - began
        if results.errors:
            raise results.errors[0]
        work = [json.loads(path.read_text()) for path in Path(folder).glob("trials/*/work.json")]
        assert len(work) == trials
        return whole, sum(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    trials = parser.parse_args().trials
    fingerprint(load_config(overrides=TINY).data)  # decoded before the clock runs
    with tempfile.TemporaryDirectory() as folder, diverted(Path(folder) / "log"), ray_session(None, dashboard=True):
        measured = {
            "fast": measure(fast, trials, cpus=1.0, reuse=True),
            "nested": measure(nested, trials, cpus=0.01, reuse=False),
        }
    print(f"{trials} trials, one after another\n")
    print(f"{'path':8}{'whole s':>10}{'own work s':>12}{'overhead s a trial':>20}")
    overhead = {}
    for name, (whole, work) in measured.items():
        overhead[name] = (whole - work) / trials
        print(f"{name:8}{whole:10.1f}{work:12.1f}{overhead[name]:20.2f}")
    print(f"\nnested / fast: {overhead['nested'] / overhead['fast']:.1f} times")
    verdict = "met" if overhead["fast"] <= GOAL_SECONDS else "missed"
    print(f"goal of {GOAL_SECONDS:g} s a trial for the fast path: {verdict}")


if __name__ == "__main__":
    main()
