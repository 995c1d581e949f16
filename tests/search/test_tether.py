"""A trial is trained by one process at a time, and a process whose driver is gone ends by itself."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hjepa.search import owner
from hjepa.search.execution.order import Order
from hjepa.search.execution.tether import LOCK, Occupied, alone, orphaned
from hjepa.search.records import StudyRecords

TRAINS = """
import json, sys, time
from hjepa.search.execution.order import Order
from hjepa.search.execution.tether import tethered
with tethered(Order(**json.loads(sys.argv[1]))):
    print("training", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def study(tmp_path: Path) -> StudyRecords:
    (tmp_path / "trials" / "t").mkdir(parents=True)
    return StudyRecords(tmp_path, {})


def order(study: StudyRecords) -> Order:
    return Order("t", "", str(study.folder("t")), str(study.directory), run=study.run)


@contextlib.contextmanager
def training(order: Order) -> Iterator[subprocess.Popen[str]]:
    """A process that trains the trial of an order."""
    command = [sys.executable, "-c", TRAINS, json.dumps(asdict(order))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        yield process
        process.kill()


def test_an_order_is_orphaned_when_another_run_drives_the_study_or_none(study: StudyRecords) -> None:
    with study.driving():
        mine = order(study)
        assert not orphaned(mine)
        assert orphaned(replace(mine, run="another"))
        assert not orphaned(replace(mine, run=None)), "nobody drives it: a benchmark, say"
    assert orphaned(mine)
    half = study.directory / ".study.yaml.abc", study.folder("t") / ".trial.json.abc"
    for left in half:
        left.touch()
    lock = study.directory / owner.LOCK
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "s", "run": mine.run}))
    assert not orphaned(mine), "locks of another machine are not seen everywhere"
    with study.driving():
        assert orphaned(mine)
        assert not any(left.exists() for left in half), "what a killed driver was writing"
    lock.unlink()
    assert orphaned(mine)


@pytest.mark.slow
def test_a_process_ends_with_its_driver_and_the_trial_is_free(study: StudyRecords) -> None:
    half, whole, other = (study.folder("t") / name for name in (".checkpoint.pt.abc", "result.json", ".trial.json.abc"))
    with contextlib.ExitStack() as drives:
        drives.enter_context(study.driving())
        with training(order(study)) as process:
            half.touch()
            whole.touch()
            other.touch()
            said = rf"process {process.pid} on .*kill {process.pid}"
            with pytest.raises(Occupied, match=said), alone(half.parent, 0.2):
                pass
            assert process.poll() is None
            drives.close()
            assert process.wait(10) == 1
    with alone(half.parent, 0):
        assert not half.exists(), "what a checkpoint that was being written has left"
        assert whole.exists()
        assert other.exists(), "it is the driver's"
        assert owner.read(half.parent / LOCK)["pid"] != process.pid


@pytest.mark.slow
def test_a_trial_is_free_as_soon_as_its_process_is_killed(study: StudyRecords) -> None:
    with study.driving(), training(order(study)) as process:
        process.send_signal(signal.SIGKILL)
        with alone(study.folder("t"), 5):
            pass
