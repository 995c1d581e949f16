"""A study on Ray ends as files, report and MLflow all say, leaves no process behind, and goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from hjepa.overrides import yaml12
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.tracking.address import default_uri
from hjepa.training import checkpoint
from tests.tiny import EXPERIMENT, MAIN

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

TINY = {**EXPERIMENT, "evaluation.interval": 1}
STUDY: dict[str, Any] = {
    "study": "tiny",
    "base": TINY,
    "budget": {"trials": 5, "epochs": 3},
    "scheduler": {"grace": 0.3, "reduction": 2, "min_trials": 2},
    "space": {"optim.lr": {"log_uniform": [1e-5, 1e-1]}, "ema.start": {"choice": [0.5, 0.996]}},
}


class Bench:
    """Runs `hjepa-search run` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "out"
        #: What every process that descends from this test's has in its environment.
        self.mark = f"HJEPA_TEST_{uuid.uuid4().hex}"

    def write(self, **keys: Any) -> None:
        base = {**TINY, **keys.pop("base", {})}
        (self.folder / "study.yaml").write_text(yaml12.dump({**STUDY, "base": base, **keys}))

    def start(self, *flags: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MAIN, "run", "study.yaml", "--output", "out", *flags]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, self.mark: "1", **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *flags: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*flags, **environment)
        out, err = process.communicate(timeout=800)
        return process.returncode, out, err

    def processes(self) -> list[str]:
        """Processes that a run of this test has started and that still live, with the first words of their command."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    words = (folder / "cmdline").read_bytes().split(b"\0")[:3]
                    found.append(f"{folder.name} {b' '.join(words).decode(errors='replace')}")
            except OSError:  # it has just ended, or is somebody else's
                continue
        return found

    def assert_nothing_left(self, patience: float = 20) -> None:
        deadline = time.monotonic() + patience
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left

    def trials(self) -> list[TrialRecord]:
        return StudyRecords.open(self.directory).trials()

    def log(self) -> str:
        return (self.directory / "driver.log").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.assert_nothing_left()


def mirrored(directory: Path) -> dict[str, Any]:
    client = MlflowClient(tracking_uri=default_uri(directory))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.`hjepa.kind` = 'trial'")
    runs = {run.data.tags["hjepa.trial"]: run for run in found}
    assert len(runs) == len(found)
    return runs


def test_a_small_study_from_the_command_to_the_report(bench: Bench) -> None:
    """Half of the configurations are probed on two labels a class, which surely scores less: those are stopped."""
    bench.write(
        base={"evaluation.rung_train": 100, "evaluation.rung_holdout": 140},
        sampler={"type": "grid"},
        scheduler={"grace": 0.3, "reduction": 3, "min_trials": 2},
        space={
            "optim.lr": {"choice": [1e-4, 2e-4, 5e-4, 2e-3]},
            "evaluation.labels_per_class": {"choice": [None, 2]},
        },
    )
    code, out, err = bench.run()
    assert code == 0, err + bench.log()
    trials = bench.trials()
    assert len(trials) == 5
    assert trials[0].overrides == {}
    assert {trial.state for trial in trials} == {"completed", "early_stopped"}, [t.reason for t in trials]
    for trial in trials:
        assert trial.state == "completed" or (trial.epoch or 9) < 3
        assert trial.result["environment"]["threads"] == 1
        assert trial.floor["probe.top1"] > 0
        assert (trial.directory / "checkpoint.pt").is_file()
    runs = mirrored(bench.directory)
    assert {trial.id: (trial.state, trial.score) for trial in trials} == {
        name: (run.data.tags["hjepa.state"], run.data.metrics["score"]) for name, run in runs.items()
    }
    assert "study        tiny" in err, "the plan is printed first"
    assert "early_stopped" in err
    assert "\x1b" not in err
    assert "selected, unconfirmed" in out
    assert "MLflow: hjepa-search ui out" in out

    code, out, err = bench.run("--trials", "6")
    assert code == 0, err
    assert len(bench.trials()) == 6
    assert [trial.result for trial in bench.trials()[:5]] == [trial.result for trial in trials]


def test_promotion_pauses_trials_and_resumes_the_best_from_their_checkpoints(bench: Bench) -> None:
    bench.write(
        budget={"trials": 4, "epochs": 4},
        scheduler={"variant": "promotion", "grace": 0.25, "reduction": 2, "min_trials": 2},
    )
    code, _, err = bench.run()
    assert code == 0, err + bench.log()
    trials = bench.trials()
    assert {trial.state for trial in trials} == {"completed", "early_stopped"}, [t.reason for t in trials]
    assert "a trial pauses, and goes on when it is among the best 1/2 there" in err
    assert "  paused  " in err
    for trial in trials:
        ends = [line["epoch"] for line in lines(trial) if line["kind"] in ("rung", "full") and line["epoch"]]
        steps = [line["step"] for line in lines(trial) if line["kind"] == "step"]
        assert ends == list(range(1, (trial.epoch or 0) + 1)), "resumed, and never begun again"
        assert steps == sorted(set(steps))
        assert trial.promoted == {1: None, 2: 1, 4: 2}[trial.epoch or 0]
        assert trial.state == "completed" or "is not among the best" in (trial.reason or "")
    assert {name: run.data.tags["hjepa.state"] for name, run in mirrored(bench.directory).items()} == {
        trial.id: trial.state for trial in trials
    }


def test_a_study_that_is_stopped_goes_on(bench: Bench) -> None:
    bench.write(budget={"trials": 2, "epochs": 30}, base={"data.train_size": 400}, scheduler={"type": "none"})
    process = bench.start()
    wait_for(bench, lambda: any((trial.directory / "result.json").exists() for trial in bench.trials()))
    assert any("raylet" in words for words in bench.processes())
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 30
    assert "stopped by SIGINT; go on with: " in err
    assert "run study.yaml --output out" in err
    interrupted = [trial for trial in bench.trials() if trial.state == "interrupted"]
    assert interrupted
    runs = mirrored(bench.directory)
    assert all(runs[trial.id].info.status == "KILLED" for trial in interrupted)
    bench.assert_nothing_left()
    first = {trial.id: kept(trial) for trial in bench.trials()}
    assert any('"rung"' in text for text in first.values())

    code, _, err = bench.run()
    assert code == 0, err + bench.log()
    assert [trial.state for trial in bench.trials()] == ["completed", "completed"]
    for trial in bench.trials():
        assert [line["epoch"] for line in lines(trial) if line["kind"] == "rung"] == list(range(1, 30))
        text = (trial.directory / "metrics.jsonl").read_text()
        assert text.startswith(first.get(trial.id, "")), "what a checkpoint covers is not trained again"
    assert {run.info.status for run in mirrored(bench.directory).values()} == {"FINISHED"}


def test_a_failing_trial_is_recorded_and_the_others_go_on(bench: Bench) -> None:
    """A batch larger than the training set cannot train: only the trial's own process finds out."""
    bench.write(budget={"trials": 3, "epochs": 1}, space={"optim.batch_size": {"choice": [50, 5000]}})
    code, _, err = bench.run()
    assert code == 0, err
    originals = [trial for trial in bench.trials() if trial.state != "duplicate"]
    ends = {trial.overrides.get("optim.batch_size", 50): trial for trial in originals}
    assert ends[50].state == "completed"
    assert ends[5000].state == "failed"
    assert ends[5000].reason
    assert "Traceback" in ends[5000].result["traceback"]
    assert ends[5000].reason in err


def test_a_tracking_server_that_is_down_is_made_up_for(bench: Bench) -> None:
    bench.write(budget={"trials": 2, "epochs": 1})
    secret, began = uuid.uuid4().hex, time.time()
    down = {"MLFLOW_TRACKING_URI": f"http://me:{secret}@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    down |= {"MLFLOW_TRACKING_PASSWORD": secret, "MLFLOW_TRACKING_TOKEN": secret}
    code, out, err = bench.run(**down)
    assert code == 0, err
    assert [trial.state for trial in bench.trials()] == ["completed"] * 2
    assert "the files hold everything" in err
    assert secret not in out + err
    sessions = Path(tempfile.gettempdir(), "ray").glob("session_2*/logs")
    logs = [path for path in sessions if path.stat().st_mtime > began]
    assert logs
    for path in (path for folder in (bench.directory, *logs) for path in folder.rglob("*")):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    code, out, err = bench.run()
    assert code == 0, err
    assert set(mirrored(bench.directory)) == {trial.id for trial in bench.trials()}


def test_a_spent_budget_ends_a_study_cleanly_and_a_larger_one_goes_on(bench: Bench) -> None:
    bench.write(budget={"trials": 2, "epochs": 1, "hours": 1e-6})
    code, _, err = bench.run()
    assert code == 0, err
    assert "the budget of 1e-06 hours is spent" in err
    assert all(trial.state in ("pending", "interrupted") for trial in bench.trials())
    bench.write(budget={"trials": 2, "epochs": 1, "total_epochs": 1}, max_concurrent=1)
    code, out, err = bench.run()
    assert code == 0, err
    assert "the budget of 1 epochs in all is spent; a larger budget.total_epochs goes on" in err
    assert "the last run ended before the study did: the budget of 1 epochs" in out
    assert [trial.state for trial in bench.trials()].count("completed") == 1
    bench.write(budget={"trials": 2, "epochs": 1, "total_epochs": 9}, max_concurrent=1)
    code, out, err = bench.run()
    assert code == 0, err
    assert "1 of 9 epochs in all spent, 8 left" in err
    assert [trial.state for trial in bench.trials()] == ["completed"] * 2
    assert "ended before" not in out


def lines(trial: TrialRecord) -> list[dict[str, Any]]:
    path = trial.directory / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def kept(trial: TrialRecord) -> str:
    """What a trial's checkpoint covers of its log."""
    path = trial.directory / "checkpoint.pt"
    size = checkpoint.load(path)[3].metrics_bytes if path.exists() else 0
    return (trial.directory / "metrics.jsonl").read_bytes()[:size].decode() if size else ""


def wait_for(bench: Bench, done: Any) -> None:
    deadline = time.monotonic() + 150
    while not ((bench.directory / "study.yaml").is_file() and done()):
        assert time.monotonic() < deadline, bench.log()
        time.sleep(0.2)
