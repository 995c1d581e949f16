"""A process of a trial that Ray's memory monitor ends is the death of that trial, not of the study."""

from unittest import mock

import pytest
from ray.air.execution._internal import RayActorManager
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayError, RaySystemError, WorkerCrashedError

from hjepa.search.execution.deaths import known
from hjepa.search.states import cause_of


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OutOfMemoryError("1 worker(s) were killed due to the node running low on memory."), "out_of_memory"),
        (NodeDiedError("Node 0 is gone."), "preempted"),
        (WorkerCrashedError(), "crash"),
    ],
)
def test_tune_hears_of_a_death(error: RayError, cause: str) -> None:
    manager, task = mock.MagicMock(), mock.MagicMock()
    with known():
        RayActorManager._actor_task_failed(manager, task, error)
    (_, heard), _ = task._on_error.call_args
    assert isinstance(heard, RayActorError)
    assert cause_of(str(heard)) == cause


def test_what_is_no_death_of_a_trial_ends_the_study_as_before() -> None:
    manager, task = mock.MagicMock(), mock.MagicMock()
    with known(), pytest.raises(RuntimeError, match="unexpected"):
        RayActorManager._actor_task_failed(manager, task, RaySystemError("gone"))
    with pytest.raises(RuntimeError, match="unexpected"):
        RayActorManager._actor_task_failed(manager, task, OutOfMemoryError("not entered"))
