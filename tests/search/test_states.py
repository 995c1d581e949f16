"""Which state of a trial may follow which: what has ended never moves, and nothing ends that never was."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.states import FAILURES, FINAL, FOLLOWS, OPEN, SCORELESS, IllegalMove, failure_of, move
from hjepa.search.study import Study


def test_the_machine_is_whole() -> None:
    assert set(FOLLOWS) == {*OPEN, *FINAL}
    assert {state for after in FOLLOWS.values() for state in after} == {*OPEN, *FINAL}
    assert all(not FOLLOWS[state] for state in FINAL)
    assert all(set(FAILURES) <= set(FOLLOWS[state]) for state in OPEN)
    assert set(SCORELESS) < set(FAILURES) < set(FINAL)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *[(state, "running") for state in FINAL],
        ("paused", "running"),
        ("paused", "completed"),
        ("running", "pending"),
        ("interrupted", "duplicate"),
    ],
)
def test_illegal_moves_are_refused(before: str, after: str) -> None:
    with pytest.raises(IllegalMove, match=f"abc: {after} cannot follow {before}; allowed"):
        move("abc", before, after)


def test_a_trial_s_life_with_a_pause_and_a_kill() -> None:
    life = ["pending", "running", "paused", "pending", "running", "interrupted", "running", "completed"]
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


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory", "out_of_memory"),
        ("ray.exceptions.NodeDiedError: the node has died", "preempted"),
        ("KeyError: 'x'", "failed"),
    ],
)
def test_what_an_error_means(error: str, state: str) -> None:
    assert failure_of(error) == state
