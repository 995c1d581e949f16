"""What becomes of a study in which everything goes wrong: faults put into real trials on Ray, and what the user sees.

    python -m benchmarks.faults [--only killed,hangs] [--no-tracking]

One configuration on a seed for each fault, a small training on handwritten digits, by `hjepa-search run`.
A trial's loss is nothing when it ends as the same training does alone, undisturbed: every step once, the same losses
to 1e-4 (fp32; the trial that runs out of memory takes them in smaller parts) and the same score within 0.02; of a trial
that ends before, when it holds the steps of its whole epochs. Then MLflow: a real server that is killed in the middle
of a study and started again, and one that takes five seconds for every answer.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.saboteur import DONE, EPOCH, FAULTS
from hjepa.overrides import load_config, yaml12
from hjepa.search.files import last_lines
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.tracking.store import connect
from hjepa.training import train

ROOT = Path(__file__).parents[1]
EPOCHS = 4
#: Fault -> what happens, once unless it says otherwise.
TOLD = {
    "none": "nothing",
    "killed": "worker process killed (SIGKILL)",
    "raises": "the trial raises, each time",
    "nan": "a weight becomes NaN",
    "collapses": "all weights are 0, each step",
    "memory": "a pass of the batch needs 2.9 times the memory",
    "eats": "the trial eats all memory that it may have",
    "devours": "the trial eats the machine's memory",
    "hangs": "the trial hangs (endless sleep)",
    "stopped": "the process answers nobody (SIGSTOP)",
    "loses_checkpoint": "checkpoint truncated, worker killed",
    "loses_record": "trial.json and result.json truncated",
    "read_only": "the trial's directory becomes read-only",
}
STATES = {"raises": "failed", "nan": "diverged", "collapses": "collapsed"}
BASE: dict[str, Any] = {
    **{"model.size": None, "model.width": 16, "model.depth": 1, "model.heads": 2},
    **{"predictor.width": 16, "predictor.depth": 1, "predictor.heads": 2, "hierarchy.levels": 1},
    **{"data.train_size": 96, "optim.batch_size": 48, "evaluation.rung_train": 40, "evaluation.rung_holdout": 40},
    **{"runtime.device": "cpu", "runtime.threads": 1, "runtime.log_interval": 1, "evaluation.interval": 1},
}
#: Bytes beyond what is in use at its start that a study may take before Ray's monitor acts.
FREE = 5 * 2**30
POLICY = {"hung_after": 5.0, "hung_seconds": 15.0}


@dataclass(frozen=True)
class Ran:
    """One run of the command: its exit code, what it printed, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float


class Study:
    """A study of one configuration with a fault for each seed, in a folder."""

    def __init__(self, folder: Path, faults: Mapping[int, str]) -> None:
        self.folder, self.faults = folder, faults
        self.directory = folder / "out"
        (folder / "done").mkdir(parents=True)
        tree = {
            "study": "faults",
            "base": BASE,
            "budget": {"trials": 1, "epochs": EPOCHS},
            "scheduler": {"type": "none"},
            "seeds": list(faults),
            "space": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}},
            "faults": POLICY,
        }
        (folder / "study.yaml").write_text(yaml12.dump(tree))

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Run the study in a process of its own, which obeys the modes of files."""
        named = {FAULTS: json.dumps(self.faults), DONE: str(self.folder / "done"), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.saboteur", "run", "study.yaml", "--output", "out"],
            cwd=self.folder,
            env={**os.environ, **named, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, **environment: str) -> Ran:
        """The same to its end."""
        began = time.monotonic()
        process = self.start(**environment)
        out, err = process.communicate()
        return Ran(process.returncode, out, err, time.monotonic() - began)

    def trials(self) -> dict[str, TrialRecord]:
        """Fault -> its trial."""
        return {self.faults[trial.seed]: trial for trial in StudyRecords.open(self.directory).trials()}


def losses(folder: Path) -> dict[int, float]:
    """Step -> loss of a log. Raises ValueError for a step that stands there twice."""
    lines = last_lines(folder / "metrics.jsonl", ("step",))
    found = {int(line["step"]): line["loss"] for line in lines}
    if len(found) < len(lines):
        raise ValueError(f"{folder}: a step stands twice")
    return found


def lost(trial: TrialRecord, folder: Path) -> str:
    """What a trial lacks of the same training alone, in `folder`."""
    config = load_config(trial.directory / "experiment.yaml")
    alone = config.model_copy(update={"runtime": config.runtime.model_copy(update={"micro_batch": None})})
    if not (folder / "result.json").exists():
        train(alone, folder)
    there, here = losses(folder), losses(trial.directory)
    whole = EPOCH * (EPOCHS if trial.state == "completed" else trial.epoch or 0)
    expected = {step: loss for step, loss in there.items() if step <= whole}
    missing = sorted(set(expected) - set(here))
    if missing:
        return f"steps {missing}"
    if trial.state == "collapsed":  # from its first step on it was another training
        return "nothing"
    off = max(abs(here[step] - loss) / abs(loss) for step, loss in expected.items()) if expected else 0.0
    if off > 1e-4:
        return f"losses differ by {off:.1e}"
    if trial.state != "completed":
        return "nothing"
    score = json.loads((folder / "result.json").read_text())["score"]
    same = trial.score is not None and abs(score - trial.score) <= 0.02
    return f"nothing ({off:.0e})" if same else f"score {trial.score} for {score}"


def saw(trial: TrialRecord, err: str) -> str:
    """What the terminal said of a trial beside its progress."""
    lines = [line for line in err.splitlines() if line.startswith(f"{trial.id}  ")]
    said = [found[1] for line in lines if (found := re.search(r"  \((.*)\)  \[", line))]
    said += [line for line in err.splitlines() if line.startswith("warning: ") and f"/{trial.id}/" in line]
    return "; ".join(dict.fromkeys(said)) or "its progress"


def table(study: Study, ran: Ran, folder: Path) -> list[tuple[str, str, str, str]]:
    """Rows: fault, state, what was lost, what the user saw."""
    return [
        (TOLD[fault], trial.state, lost(trial, folder / fault), saw(trial, ran.err))
        for fault, trial in study.trials().items()
    ]


def available(kind: str = "MemAvailable") -> int:
    """Bytes of the machine's memory; 0 where it is no Linux."""
    file = Path("/proc/meminfo")
    found = re.search(rf"{kind}: +(\d+) kB", file.read_text() if file.exists() else "")
    return 1024 * int(found[1]) if found else 0


def devoured(folder: Path) -> list[tuple[str, str, str, str]]:
    """The row of a trial that Ray's own memory monitor ends, in a study of its own: it may end any process."""
    folder.mkdir()
    study = Study(folder / "study", {0: "devours"})
    share = 1 - (available() - FREE) / available("MemTotal")
    return table(study, study.run(RAY_memory_usage_threshold=f"{share:.3f}"), folder)


class Server:
    """A real `mlflow server` with its own files; started again it has the same address."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it and wait for its first answer."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not self._answers():
            time.sleep(0.3)

    def kill(self) -> None:
        """End it and its workers without a word."""
        os.killpg(self._process.pid, 9)
        self._process.wait()

    def runs(self) -> list[str]:
        """The trials of its runs, and their status."""
        client = connect(self.uri)
        experiment = client.get_experiment_by_name("faults")
        found = client.search_runs([experiment.experiment_id], "tags.`hjepa.kind` = 'trial'") if experiment else []
        return sorted(f"{run.data.tags['hjepa.trial']} {run.info.status}" for run in found)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Slow:
    """Passes requests on to a server, each after so many seconds."""

    def __init__(self, server: Server, seconds: float) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                time.sleep(seconds)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                there = http.client.HTTPConnection("127.0.0.1", server.port)
                there.request(self.command, self.path, body, dict(self.headers.items()))
                answer = there.getresponse()
                content = answer.read()
                with contextlib.suppress(BrokenPipeError):  # who asked has ended meanwhile
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.getheader("Content-Type") or "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tracked(name: str, study: Study, server: Server, uri: str, during: Callable[[], None]) -> tuple[str, str, str, str]:
    """The row of a study that is tracked somewhere; `during` happens when its first trial has ended."""
    began = time.monotonic()
    process = study.start(MLFLOW_TRACKING_URI=uri)
    told = threading.Thread(target=_after_the_first, args=(study, during))
    told.start()
    _, err = process.communicate()
    told.join()
    seconds = time.monotonic() - began
    warned = [line.replace(uri, "URI") for line in err.splitlines() if line.startswith("warning: ")]
    sync = [
        sys.executable,
        "-c",
        "from hjepa.cli.search import main; main()",
        "sync",
        "out",
        "--tracking-uri",
        server.uri,
    ]
    subprocess.run(sync, cwd=study.folder, check=True, capture_output=True)
    trials = StudyRecords.open(study.directory).trials()
    there = server.runs() == sorted(f"{trial.id} FINISHED" for trial in trials)
    states = ", ".join(sorted({trial.state for trial in trials}))
    kept = "nothing; after sync one finished run a trial" if there else f"MLflow has {server.runs()}"
    return (
        name,
        states,
        kept,
        f"{'; '.join(warned) or 'its progress'} ({seconds:.0f} s, exit code {process.returncode})",
    )


def _after_the_first(study: Study, during: Callable[[], None]) -> None:
    while not any((study.directory / "trials").glob("*/result.json")):
        time.sleep(0.2)
    during()


def trackings(folder: Path) -> list[tuple[str, str, str, str]]:
    """The rows of the tracking server."""
    server = Server(folder / "server")

    def outage() -> None:
        server.kill()
        time.sleep(5)
        server.start()

    clean = dict.fromkeys(range(4), "none")
    try:
        rows = [tracked("tracking server killed and restarted", Study(folder / "a", clean), server, server.uri, outage)]
    finally:
        server.kill()
    server = Server(folder / "server2")
    try:
        slow = Slow(server, 5.0)
        rows.append(
            tracked("tracking server answers after 5 s", Study(folder / "b", clean), server, slow.uri, lambda: None)
        )
    finally:
        server.kill()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(TOLD), help="faults, separated by commas")
    parser.add_argument("--no-tracking", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        faults = args.only.split(",")
        others = [fault for fault in faults if fault != "devours"] or ["none"]
        study = Study(folder / "study", dict(enumerate(others)))
        ran = study.run()
        rows = table(study, ran, folder)
        broken = study.trials().get("read_only")
        if broken is not None:
            broken.directory.chmod(0o755)
            again = study.run()
            trial = study.trials()["read_only"]
            told = "it can be written again, the same command"
            rows.append((told, trial.state, lost(trial, folder / "read_only"), saw(trial, again.err)))
        if "devours" in faults:
            rows += devoured(folder / "memory")
        if not args.no_tracking:
            rows += trackings(folder)
        print("| fault | state | lost | what the user saw |\n| --- | --- | --- | --- |")
        for row in rows:
            print(f"| {' | '.join(row)} |")
        print(f"\n{len(study.faults)} trials, {ran.seconds:.0f} s, exit code {ran.code}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
