"""How long `status` and `report` take on a study of thousands of recorded trials.

    python benchmarks/many_records.py [--trials 10000]

The records are written by this script: a search whose trials ended in every way, each with its files. Times are
those of the whole command, from the shell, and of the function alone, as the first of a process sees it. The goal is
at most three seconds for each on 10,000 trials.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hjepa.overrides import yaml12
from hjepa.search.study import Study

GOAL_SECONDS = 3.0
STUDY = {
    "study": "many",
    "budget": {"trials": 10_000, "epochs": 9},
    "space": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}, "model.layer_scale": {"choice": [None, 1e-4, 1e-2]}},
}
ENVIRONMENT = {"versions": dict.fromkeys(("hjepa", "torch", "ray", "optuna", "mlflow"), "1.2.3"), "device": "cpu"}
COMMANDS = (["status"], ["report"], *(["report", "--format", style] for style in ("json", "csv", "markdown")))
FUNCTION = """
import sys, time
from pathlib import Path
from hjepa.search.records import StudyRecords
from {package} import {module}
began = time.perf_counter()
text = {call}
print(time.perf_counter() - began)
"""
CALLS = {
    "hjepa.search.status": "status.render(status.status(StudyRecords.open(sys.argv[1])))",
    "hjepa.search.reports.report": "report.report(StudyRecords.open(sys.argv[1]), 'table')",
}


def write(directory: Path, count: int) -> None:
    """A study of `count` trials: a third at full budget, most stopped at a rung, some failed."""
    (directory / "file.yaml").write_text(yaml12.dump({**STUDY, "budget": {"trials": count, "epochs": 9}}))
    spec = Study.load(directory / "file.yaml").resolved()
    (directory / "study.yaml").write_text(yaml12.dump(spec))
    draw = random.Random(0)
    for index in range(count):
        name = f"{index:016x}"
        folder = directory / "trials" / f"{name[:10]}{index}-s0"
        folder.mkdir(parents=True)
        overrides = {"optim.lr": 10 ** draw.uniform(-4, -2), "model.layer_scale": draw.choice([None, 1e-4, 1e-2])}
        trial = {"schema_version": 1, "id": folder.name, "index": index, "config": name, "seed": 0, "state": "running"}
        trial |= {"cell": f"c{index}", "overrides": overrides, "duplicate_of": None, "mlflow_run_id": None}
        (folder / "trial.json").write_text(json.dumps(trial))
        (folder / "result.json").write_text(json.dumps(_result(draw)))


def _result(draw: random.Random) -> dict[str, object]:
    kind = draw.random()
    epoch = 9 if kind < 0.3 else draw.choice([1, 3])
    score = 0.3 + 0.02 * epoch + draw.gauss(0, 0.03)
    metrics = {f"level{level}.rank": draw.random() for level in range(12)}
    metrics |= {"epoch": epoch, "probe_rung.top1": score, "knn_rung.top1": score - 0.05}
    state = "completed" if kind < 0.3 else "early_stopped" if kind < 0.95 else "failed"
    if epoch == 9:
        metrics |= {"probe.top1": score, "knn.top1": score - 0.05}
    return {
        "state": state,
        "reason": None if state == "completed" else "a line that says why",
        "epoch": epoch,
        "rung": 0,
        "metrics": metrics,
        "floor": {"probe.top1": 0.25, "probe_rung.top1": 0.2},
        "seconds": 10.0 * epoch,
        "device_seconds": 10.0 * epoch,
        "environment": ENVIRONMENT,
    }


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds of a process, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def main() -> None:
    """Write, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    count = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        write(directory, count)
        print(f"{count:,} recorded trials, goal {GOAL_SECONDS:g} s")
        for path, call in CALLS.items():
            package, _, name = path.rpartition(".")
            code = FUNCTION.format(package=package, module=name, call=call)
            _, out = timed([sys.executable, "-c", code, str(directory)])
            print(f"{name:<24} {float(out):6.2f} s in the function")
        for first, *rest in COMMANDS:
            words = ["-c", "from hjepa.cli.search import main; main()", first, str(directory), *rest]
            seconds, out = timed([sys.executable, *words])
            print(f"{' '.join([first, *rest]):<24} {seconds:6.2f} s from the shell, {len(out):,} characters")


if __name__ == "__main__":
    main()
