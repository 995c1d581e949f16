"""What a study loses when its driver is killed at any moment and the same command is given again: nothing.

    python benchmarks/kill_resume.py [--plan tpe|grid] [--trials 12] [--kills 20] [--seed 0]

A study of small real trainings on handwritten digits is run by `hjepa-search run`, which is killed with SIGKILL at
seeded random moments: while it starts, while Ray starts, while records are being written, while a trial trains. Half
of the kills end the driver alone, half its whole process group. The command is given again at once, beside whatever is
left of the killed one, until the study ends. Then the promises are counted, and the trials are compared with those of
the same study undisturbed: the plan is a grid, or TPE with one trial at a time.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient

from hjepa.overrides import yaml12
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.tracking.address import default_uri

#: Seconds between looks at files and at processes; those that Ray's own agents take to miss a dead Ray.
GLANCE, LOOK, LINGER = 0.005, 0.25, 90.0
#: Changes to records after which a driver is killed, at most: those of about two trials.
CHANGES = 60
PROGRAM = "from hjepa.cli.search import main; main()"
#: A training of a few seconds on one core.
BASE: dict[str, Any] = {
    "data.train_size": 400,
    "model.size": None,
    "model.width": 16,
    "model.depth": 1,
    "model.heads": 2,
    "predictor.width": 16,
    "predictor.depth": 1,
    "predictor.heads": 2,
    "hierarchy.levels": 1,
    "optim.batch_size": 50,
    "evaluation.interval": 1,
    "evaluation.rung_train": 100,
    "evaluation.rung_holdout": 100,
    "runtime.device": "cpu",
}
PLANS: dict[str, dict[str, Any]] = {
    "tpe": {
        "max_concurrent": 1,
        "scheduler": {"grace": 0.3, "reduction": 2, "min_trials": 3},
        "space": {"optim.lr": {"log_uniform": [1e-5, 1e-1]}, "ema.start": {"choice": [0.5, 0.9, 0.996]}},
    },
    "grid": {
        "sampler": {"type": "grid"},
        "scheduler": {"type": "none"},
        "space": {
            "optim.lr": {"choice": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]},
            "ema.start": {"choice": [0.5, 0.9, 0.996]},
        },
    },
}
Kind = Literal["start", "ray", "record", "train"]


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after the command was given, after Ray's first process, after the given number of
    changes to records, or after the first step that a trial logs. `group` kills all processes of the driver's group.
    """

    kind: Kind
    seconds: float
    changes: int = 1
    group: bool = False


def moments(kills: int, seed: int) -> list[Moment]:
    """As many moments of each kind, in random order."""
    draw = random.Random(seed)
    longest: dict[Kind, float] = {"start": 10.0, "ray": 8.0, "record": 0.02, "train": 8.0}
    kinds = [kind for _, kind in zip(range(kills), [*longest] * kills, strict=False)]
    draw.shuffle(kinds)
    return [
        Moment(kind, draw.uniform(0.0, longest[kind]), draw.randint(1, CHANGES), group=draw.random() < 0.5)
        for kind in kinds
    ]


class Command:
    """`hjepa-search run` of one study file, given again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "out"
        self.mark = f"HJEPA_KILLED_{uuid.uuid4().hex}"
        self.times = 0
        #: Time of death of each killed driver, and seconds that the last of its processes lived on, by its number.
        self.deaths: dict[int, float] = {}
        self.lived: dict[int, float] = {}

    def start(self) -> subprocess.Popen[bytes]:
        """Give the command."""
        self.times += 1
        command = [sys.executable, "-c", PROGRAM, "run", "study.yaml", "--output", "out"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, self.mark: str(self.times)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self) -> dict[int, list[str]]:
        """Processes that descend from each of the commands: the first word of what they run."""
        found: dict[int, list[str]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                _, mark, after = (folder / "environ").read_bytes().partition(f"{self.mark}=".encode())
                word = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            except OSError:  # it has just ended, or is somebody else's
                continue
            if mark:
                found.setdefault(int(after.partition(b"\0")[0]), []).append(word)
        return found

    def look(self) -> dict[int, list[str]]:
        """Note how long what killed drivers have left lives on."""
        there = self.processes()
        for number, death in self.deaths.items():
            if number in there:
                self.lived[number] = time.monotonic() - death
        return there

    def kill(self, process: subprocess.Popen[bytes], *, group: bool) -> None:
        """End a driver, or all of its process group, in the middle of whatever it does."""
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        self.deaths[self.times] = time.monotonic()

    def until(self, process: subprocess.Popen[bytes], moment: Moment) -> bool:
        """Wait for a moment; False when the driver ends before it."""
        began, looked = time.monotonic(), 0.0
        seen = signs(self.directory, moment.kind)
        changes, since = 0, began if moment.kind == "start" else None
        while process.poll() is None:
            now = time.monotonic()
            if since is not None and now >= since + moment.seconds:
                return True
            if now - looked > LOOK:
                looked, there = now, self.look()
                if moment.kind == "ray" and since is None and any("raylet" in w for w in there.get(self.times, [])):
                    since = now
            if moment.kind in ("record", "train") and since is None:
                current = signs(self.directory, moment.kind)
                changes, seen = changes + (current != seen), current
                if changes >= (moment.changes if moment.kind == "record" else 1):
                    since = now
            time.sleep(GLANCE)
        return False


def signs(directory: Path, kind: Kind) -> frozenset[tuple[str, int]]:
    """What changes when records are written, or when a trial trains."""
    names = ("*/*.json", "*/.*", "*/checkpoint.pt") if kind == "record" else ("*/metrics.jsonl",)
    found = set()
    for name in names:
        for path in (directory / "trials").glob(name):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if kind == "record" or status.st_size:
                found.add((str(path), status.st_mtime_ns))
    return frozenset(found)


@dataclass
class Counts:
    """What was promised: every number but the first four is to be 0, and the tables equal."""

    kills: int = 0
    commands: int = 0
    trials: int = 0
    states: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0
    lost: int = 0
    repeated: int = 0
    torn: int = 0
    runs_missing: int = 0
    runs_twice: int = 0
    runs_open: int = 0
    processes_left: int = 0
    differing: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        wrong = self.unfinished + self.lost + self.repeated + self.torn + self.processes_left
        return not (wrong + self.runs_missing + self.runs_twice + self.runs_open or self.differing)


def finished(directory: Path) -> dict[str, tuple[int, int, str]]:
    """The results of the trials that have ended, and the inode and time by which one that is written again shows."""
    if not (directory / "study.yaml").is_file():
        return {}
    found = {}
    for path in (directory / "trials").glob("*/result.json"):
        content = path.read_bytes()
        if json.loads(content)["state"] not in ("running", "interrupted"):
            status = path.stat()
            found[path.parent.name] = (status.st_ino, status.st_mtime_ns, hashlib.sha256(content).hexdigest())
    return found


def torn(trial: TrialRecord) -> bool:
    """Whether a trial's metrics show anything but one training: each step and each rung once, in order."""
    lines = [json.loads(line) for line in (trial.directory / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    ends = [line["epoch"] for line in lines if line["kind"] in ("rung", "full")]
    whole = [line["epoch"] for line in lines if line["kind"] == "full"]
    last = trial.epoch or 0
    once = [0, last] if trial.state == "completed" else [0]
    return steps != sorted(set(steps)) or ends != list(range(last + 1)) or whole != once


def table(directory: Path) -> list[tuple[Any, ...]]:
    """The trials as a report ranks them: who, which settings, and how it ended."""
    return [
        (t.index, t.cell, t.seed, json.dumps(dict(t.overrides), sort_keys=True), t.state, t.epoch, t.metric, t.score)
        for t in StudyRecords.open(directory).trials()
    ]


def write_study(folder: Path, plan: str, trials: int, epochs: int) -> None:
    """The study file of a plan."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = {"study": "killed", "base": BASE, "budget": {"trials": trials, "epochs": epochs}, **PLANS[plan]}
    (folder / "study.yaml").write_text(yaml12.dump(tree))


def disturb(folder: Path, when: Sequence[Moment], say: Callable[[str], None]) -> tuple[Command, Counts]:
    """Run the study of a folder, killing its driver at each of these moments, until it ends."""
    command, counts = Command(folder), Counts()
    known: dict[str, tuple[int, int, str]] = {}
    todo = list(when)
    while True:
        process = command.start()
        counts.commands += 1
        killed = bool(todo) and command.until(process, todo[0])
        if killed:
            moment = todo.pop(0)
            command.kill(process, group=moment.group)
            counts.kills += 1
        elif process.wait():
            raise SystemExit(f"the command failed:\n{(folder / 'log').read_text()[-4000:]}")
        now = finished(command.directory)
        counts.lost += sum(name not in now for name in known)
        counts.repeated += sum(name in now and now[name] != then for name, then in known.items())
        known |= now
        if not killed:
            return command, counts
        who = "its group" if moment.group else "the driver"
        say(f"kill {counts.kills:2}: {moment.kind:6} + {moment.seconds:4.1f} s, {who}; {len(now)} trials have ended")


def count(command: Command, counts: Counts) -> Counts:
    """Look at what a study that was disturbed has left."""
    trials = StudyRecords.open(command.directory).trials()
    counts.trials = len(trials)
    counts.states = Counter(trial.state for trial in trials)
    counts.unfinished = sum(not trial.final for trial in trials)
    counts.torn = sum(torn(trial) for trial in trials if trial.duplicate_of is None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's use of SQLAlchemy 2.1
        client = MlflowClient(tracking_uri=default_uri(command.directory))
        experiment = client.get_experiment_by_name("killed")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
    mirrored = Counter(run.data.tags.get("hjepa.trial", "the study") for run in runs)
    counts.runs_missing = len({trial.id for trial in trials} - set(mirrored))
    counts.runs_twice = sum(number - 1 for number in mirrored.values())
    counts.runs_open = sum(run.info.status not in ("FINISHED", "KILLED", "FAILED") for run in runs)
    deadline = time.monotonic() + LINGER
    while (left := command.look()) and time.monotonic() < deadline:
        time.sleep(LOOK)
    counts.processes_left = sum(map(len, left.values()))
    return counts


def undisturbed(folder: Path) -> Path:
    """The directory of the study of a folder, run once."""
    command = Command(folder)
    if command.start().wait():
        raise SystemExit(f"the command failed:\n{(folder / 'log').read_text()[-4000:]}")
    return command.directory


def differing(disturbed: Path, calm: Path) -> list[str]:
    """The trials in which two studies differ."""
    return [f"{mine} instead of {its}" for mine, its in zip(table(disturbed), table(calm), strict=True) if mine != its]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", choices=list(PLANS), default="tpe")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for name in ("calm", "disturbed"):
            write_study(Path(place) / name, given.plan, given.trials, given.epochs)
        calm = undisturbed(Path(place) / "calm")
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        command, counts = disturb(
            Path(place) / "disturbed", moments(given.kills, given.seed), lambda line: print(line, flush=True)
        )
        count(command, counts)
        counts.differing = differing(command.directory, calm)
    lived = sorted(command.lived.values())
    print(f"\n{given.plan}: {counts.kills} kills, {counts.commands} commands, {time.monotonic() - began:.0f} s")
    print(f"trials                              {counts.trials}: {dict(counts.states)}")
    for words, number in {
        "not ended": counts.unfinished,
        "finished, then lost": counts.lost,
        "finished, then written again": counts.repeated,
        "trained twice anywhere": counts.torn,
        "without an MLflow run": counts.runs_missing,
        "MLflow runs too many": counts.runs_twice,
        "MLflow runs left open": counts.runs_open,
        "processes left": counts.processes_left,
        "trials unlike the undisturbed study": len(counts.differing),
    }.items():
        print(f"{words:36}{number}")
    print("\n".join(counts.differing))
    if lived:
        print(f"what a killed driver left lived {lived[len(lived) // 2]:.1f} s (median), at most {lived[-1]:.1f} s")
    print(f"promises: {'kept' if counts.kept else 'broken'}")
    sys.exit(not counts.kept)


if __name__ == "__main__":
    main()
