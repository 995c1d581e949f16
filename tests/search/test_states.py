"""Which state of a trial may follow which: what has ended never moves, and nothing ends that never was."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.states import CAUSES, FAILURES, FINAL, FOLLOWS, OPEN, SCORELESS, IllegalMove, cause_of, move
from hjepa.search.study import Study


def test_the_machine_is_whole() -> None:
    assert set(FOLLOWS) == {*OPEN, *FINAL}
    assert {state for after in FOLLOWS.values() for state in after} == {*OPEN, *FINAL}
    assert all(not FOLLOWS[state] for state in FINAL)
    assert all(set(FAILURES) <= set(FOLLOWS[state]) for state in OPEN)
    assert set(CAUSES.values()) <= set(FAILURES)
    assert all("pending" in FOLLOWS[state] for state in OPEN), (
        "an attempt at a trial may end and be followed by another"
    )
    assert set(SCORELESS) < set(FAILURES) < set(FINAL)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *[(state, "running") for state in FINAL],
        ("paused", "running"),
        ("paused", "completed"),
        ("interrupted", "duplicate"),
    ],
)
def test_illegal_moves_are_refused(before: str, after: str) -> None:
    with pytest.raises(IllegalMove, match=f"abc: {after} cannot follow {before}; allowed"):
        move("abc", before, after)


def test_a_trial_s_life_with_a_pause_and_a_kill() -> None:
    life = ["pending", "running", "paused", "pending", "running", "interrupted", "running", "pending", "running"]
    life += ["completed"]
    assert [move("abc", *step) for step in itertools.pairwise(life)] == life[1:]


def test_records_refuse_illegal_moves(
    make_study: Callable[..., Study], tmp_path: Path, enter: Callable[..., TrialRecord]
) -> None:
    study = make_study()
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    trial = enter(records, study, 0, {}).id
    records.mark(trial, state="running")
    records.mark(trial, state="paused")
    before = (records.folder(trial) / "trial.json").read_bytes()
    with pytest.raises(IllegalMove):
        records.mark(trial, state="running")
    with pytest.raises(IllegalMove):
        records.write_result(trial, "completed")
    assert (records.folder(trial) / "trial.json").read_bytes() == before
    assert not (records.folder(trial) / "result.json").exists()
    assert records.write_result(trial, "early_stopped", "never promoted")


DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: ImplicitFunc
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker
unexpectedly exits with a connection error code 2. End of file. There are some potential root causes. (1) The process
is killed by SIGKILL by OOM killer due to high memory usage. (2) ray stop --force is called."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory", "out_of_memory"),
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", "out_of_memory"),
        ("The actor is dead because ... Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: ...", "out_of_memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "out_of_memory"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9. TiB", "out_of_memory"),
        ("ray.exceptions.NodeDiedError: the node has died", "preempted"),
        ("The actor died because its node has died. Node Id: 0", "preempted"),
        (f"ray.exceptions.ActorDiedError: {DIED}", "crash"),
        ("RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1", "crash"),
        ("KeyError: 'x'", "error"),
        ('Traceback\n  File "x.py", line 1\n    raise MemoryError  # The actor died\nValueError: x', "error"),
        ("", "error"),
    ],
)
def test_what_an_error_means(error: str, cause: str) -> None:
    assert cause_of(error) == cause
    assert cause in (*CAUSES, "error")
