"""The states of a trial: before its end, at its end, and which may follow which."""

#: Before its end a trial is in one of these.
OPEN = ("pending", "running", "paused", "interrupted")
#: It ends in exactly one of these, for good.
FINAL = ("completed", "early_stopped", "diverged", "collapsed", "out_of_memory", "failed", "preempted", "duplicate")
#: Ends that say nothing good of a configuration, of which a person wants to know the reason.
FAILURES = ("diverged", "collapsed", "out_of_memory", "failed", "preempted")
#: Ends that leave no score.
SCORELESS = ("diverged", "out_of_memory", "failed")

#: What may end an attempt at a trial and is no fault of its configuration -> its state when it is not tried again.
CAUSES = {"crash": "failed", "preempted": "preempted", "out_of_memory": "out_of_memory", "hung": "failed"}

#: State -> those that may follow. A trial that a killed driver left shows as interrupted, whatever it was; what was
#: running may be started again, or be judged by what it has scored before it is. It is pending again when one of
#: CAUSES has ended an attempt at it, also before that began, and there is to be another.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "pending": ("pending", "running", "paused", "interrupted", *FINAL),
    "running": ("pending", "running", "paused", "interrupted", *(state for state in FINAL if state != "duplicate")),
    "paused": ("paused", "pending", "early_stopped", *FAILURES),
    "interrupted": ("pending", "running", "paused", "interrupted", *(state for state in FINAL if state != "duplicate")),
    **dict.fromkeys(FINAL, ()),
}


#: Words by which a traceback, or Ray's account of a death, tells a cause; the first that fits.
_WORDS = {
    "preempted": ("node has died", "NodeDiedError", "preempted"),
    "out_of_memory": ("MemoryError", "OUT_OF_MEMORY", "low on memory", "out of memory", "t allocate memory"),
    "crash": (
        *("ActorDiedError", "RayActorError", "ActorUnavailableError", "WorkerCrashedError", "OwnerDiedError"),
        "Occupied",  # by what a killed driver left
        *("The actor died", "The actor is dead", "Connection closed by peer", "Connection reset by peer"),
    ),
}


def cause_of(error: str) -> str:
    """One of CAUSES, or `error` for what its configuration would do again; of a traceback or Ray's account of a death.

    The lines of code that a traceback quotes say nothing.
    """
    said = "\n".join(line for line in error.splitlines() if not line.startswith("  "))
    return next((cause for cause, words in _WORDS.items() if any(word in said for word in words)), "error")


class IllegalMove(AssertionError):
    """A state that may not follow another: a fault of this program, never of its user."""


def move(trial: str, before: str, after: str) -> str:
    """The state `after`. Raises IllegalMove where it may not follow `before`."""
    if after not in FOLLOWS[before]:
        allowed = ", ".join(FOLLOWS[before]) or "nothing: it is final"
        raise IllegalMove(f"{trial}: {after} cannot follow {before}; allowed {allowed}")
    return after
