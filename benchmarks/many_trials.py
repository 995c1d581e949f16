"""A thousand one-second trials: what the machinery costs beyond them, and whether it stays what it was at the start.

    python benchmarks/many_trials.py [--trials 1000] [--sampler random]

A whole study as `hjepa-search run` executes it - Ray, reused actors, Optuna's journal, records, MLflow - but for the
training: a trial sleeps for a second, reports one score and leaves the files of a trial. The ideal is the trials' own
seconds divided by the trials at once. Per-trial cost is what a trial takes of a core beyond its own second, over
each hundred trials in the order in which they ended; the driver's memory is its resident size. The proposals of TPE,
whose cost grows with what it knows, are timed apart, without Ray.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hjepa.config import Config
from hjepa.overrides import yaml12
from hjepa.runtime.files import write_json
from hjepa.search.execution import runner, trainable
from hjepa.search.plan import make_plan
from hjepa.search.records import StudyRecords
from hjepa.search.sampler import StudySampler
from hjepa.search.study import Study
from hjepa.training.reporter import Reporter

SECONDS, WINDOW = 1.0, 100
BASE = {"runtime.device": "cpu", "data.train_size": 100}
SPACE = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}, "optim.weight_decay": {"uniform": [0.0, 0.3]}}


def a_second(
    config: Config, directory: Path, *, reporter: Reporter, resume: bool = False, test: bool = False
) -> dict[str, Any]:
    """In place of `train`: a second, a score, and the files that a trial leaves."""
    began = time.perf_counter()
    score = 1.0 - abs(config.optim.lr - 2e-3)
    metrics = {"probe_rung.top1": score, "probe.top1": score}
    time.sleep(SECONDS)
    (directory / "metrics.jsonl").write_text(json.dumps({"kind": "rung", "step": 1, "epoch": 1, **metrics}) + "\n")
    seconds = time.perf_counter() - began
    result: dict[str, Any] = {"epoch": 1, "rung": 0, "metrics": metrics, "floor": {}, "seconds": seconds}
    write_json(directory / "result.json", {"state": "completed", "reason": None, **result, "device_seconds": seconds})
    reporter.report({"epoch": 1, **metrics}, None)
    return result


def run_order(packed: dict[str, Any]) -> None:
    """A trial as `hjepa-search run` executes it, but for its training."""
    trainable.train = a_second  # type: ignore[assignment]
    trainable.run_order(packed)


def study_of(directory: Path, trials: int, sampler: str) -> Study:
    """The study, its file in `directory`."""
    tree = {"study": "many", "base": {}, "budget": {"trials": trials, "epochs": 1}, "sampler": {"type": sampler}}
    file = directory / "many.yaml"
    file.write_text(yaml12.dump({**tree, "scheduler": {"type": "none"}, "space": SPACE}))
    return Study.load(file, sets=[f"{path}={value}" for path, value in BASE.items()])


def resident() -> float:
    """This process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Memory(threading.Thread):
    """Samples the driver's memory every second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Until it is over."""
        while not self.over.wait(1.0):
            self.samples.append((time.time(), resident()))

    def at(self, when: float) -> float:
        """The last sample before a time of day."""
        return max((s for s in self.samples if s[0] <= when), default=self.samples[0])[1]


def execute(directory: Path, trials: int, sampler: str) -> None:
    """Run the study and print what it cost."""
    runner.run_order = run_order
    study = study_of(directory, trials, sampler)
    plan = make_plan(study, directory / "study", {"CPU": float(len(os.sched_getaffinity(0)))})
    memory = Memory()
    memory.start()
    began = time.time()
    runner.run_study(plan)
    whole = time.time() - began
    memory.over.set()
    records = StudyRecords.open(plan.directory).trials()
    assert [record.state for record in records] == ["completed"] * trials
    own = sum(float(record.result["seconds"]) for record in records)
    ended = sorted((record.directory / "result.json").stat().st_mtime for record in records)
    ideal = own / plan.concurrent
    print(f"{trials:,} trials of {SECONDS:g} s, {plan.concurrent} at once, sampler {sampler}")
    print(f"whole study {whole:.1f} s, ideal {ideal:.1f} s, ratio {whole / ideal:.2f}")
    print(f"start and end {ended[0] - began + began + whole - ended[-1]:.1f} s of it\n")
    print(f"{'trials':>14}{'core-seconds a trial beyond its own':>38}{'driver MiB':>12}")
    for first in range(0, trials - 1, WINDOW):
        last = min(first + WINDOW, trials) - 1
        each = (ended[last] - ended[first]) / max(1, last - first) * plan.concurrent - own / trials
        print(f"{f'{first + 1} to {last + 1}':>14}{each:>38.3f}{memory.at(ended[last]):>12.0f}")


def proposals(directory: Path, trials: int) -> None:
    """Print what TPE's proposals cost as it comes to know more."""
    study = study_of(directory, trials, "tpe")
    sampler = StudySampler(study.space, study.spec.sampler, trials=trials, journal=directory / "journal")
    spent: list[tuple[float, float]] = []
    for index in range(trials):
        before = time.perf_counter()
        overrides: Mapping[str, Any] = sampler.ask(index) or {}
        asked = time.perf_counter()
        sampler.tell(index, "completed", 1.0 - abs(overrides.get("optim.lr", 1e-3) - 2e-3), {1: 0.5})
        spent.append((asked - before, time.perf_counter() - asked))
    print(f"\n{'TPE knows':>14}{'ms to ask':>12}{'ms to tell':>12}")
    for first in range(0, trials, WINDOW):
        part = spent[first : first + WINDOW]
        ask, tell = (1000 * sum(times) / len(part) for times in zip(*part, strict=True))
        print(f"{first:>14}{ask:>12.1f}{tell:>12.1f}")


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--sampler", default="random")
    asked = parser.parse_args()
    for part in (lambda place: execute(place, asked.trials, asked.sampler), lambda p: proposals(p, asked.trials)):
        with tempfile.TemporaryDirectory() as place:
            part(Path(place))


if __name__ == "__main__":
    main()
