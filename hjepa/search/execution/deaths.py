"""Deaths of a trial's process that Tune itself does not know, and would end the whole study by."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

#: What Ray says in place of a RayActorError: of a process that its memory monitor ended, for one.
DEATHS = (OutOfMemoryError, NodeDiedError, WorkerCrashedError)


@contextlib.contextmanager
def known() -> Iterator[None]:
    """While entered, Tune takes DEATHS as the deaths of one trial's process.

    Of Ray 2.60: `RayActorManager._actor_task_failed` raises RuntimeError for all but RayActorError and RayTaskError.
    """
    original = RayActorManager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, DEATHS):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original  # type: ignore[method-assign]
