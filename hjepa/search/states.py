"""The states of a trial: before its end, at its end, and which may follow which."""

#: Before its end a trial is in one of these.
OPEN = ("pending", "running", "paused", "interrupted")
#: It ends in exactly one of these, for good.
FINAL = ("completed", "early_stopped", "diverged", "collapsed", "out_of_memory", "failed", "preempted", "duplicate")
#: Ends that say nothing good of a configuration, of which a person wants to know the reason.
FAILURES = ("diverged", "collapsed", "out_of_memory", "failed", "preempted")
#: Ends that leave no score.
SCORELESS = ("diverged", "out_of_memory", "failed")

#: State -> those that may follow. A trial that a killed driver left shows as interrupted, whatever it was; what was
#: running may be started again, or be judged by what it has scored before it is.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "pending": ("running", "paused", "interrupted", *FINAL),
    "running": ("running", "paused", "interrupted", *(state for state in FINAL if state != "duplicate")),
    "paused": ("paused", "pending", "early_stopped", *FAILURES),
    "interrupted": ("running", "paused", "interrupted", *(state for state in FINAL if state != "duplicate")),
    **dict.fromkeys(FINAL, ()),
}


def failure_of(error: str) -> str:
    """The state that a traceback, or Ray's account of it, means."""
    if "OutOfMemory" in error or "out of memory" in error:
        return "out_of_memory"
    if "node has died" in error or "preempted" in error:
        return "preempted"
    return "failed"


class IllegalMove(AssertionError):
    """A state that may not follow another: a fault of this program, never of its user."""


def move(trial: str, before: str, after: str) -> str:
    """The state `after`. Raises IllegalMove where it may not follow `before`."""
    if after not in FOLLOWS[before]:
        allowed = ", ".join(FOLLOWS[before]) or "nothing: it is final"
        raise IllegalMove(f"{trial}: {after} cannot follow {before}; allowed {allowed}")
    return after
