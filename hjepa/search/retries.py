"""Whether a trial is tried again after what ended an attempt at it: a policy by cause, counted in its record."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from hjepa.config import Config
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.sections import Faults
from hjepa.search.states import CAUSES, cause_of

#: Characters of an attempt's traceback that are kept, the last.
KEPT = 4000
#: What Ray writes before it says how a process ended.
DETAIL = "Worker exit detail: "
#: Ray's words, and the memory that was taken, where its monitor ended a process.
PRESSED = re.compile(r"node running low on memory\..*? was (\S+ used / \S+ limit)")


@dataclass(frozen=True)
class End:
    """The state in which a trial ends, and why."""

    state: str
    reason: str


class Retries:
    """Decides over the attempts at one study's trials, and writes them down.

    An attempt that is followed by another goes on from the trial's checkpoint. One that ran out of memory is followed
    by one with at most half the images a pass and as many a step as before, where the losses of parts add up.
    """

    def __init__(
        self, records: StudyRecords, faults: Faults, workers: int, config: Callable[[TrialRecord], Config]
    ) -> None:
        self._records = records
        self._faults = faults
        self._workers = workers
        self._config = config

    def judge(self, record: TrialRecord, error: str, hung: str | None = None) -> End | None:
        """How a trial ends by an error; None: it is to be tried again, and its record says so.

        `error` is a traceback or Ray's account of a death, `hung` why the trial was ended as hung.
        """
        cause = cause_of(error) if hung is None else "hung"
        reason = hung or said(error)
        if cause not in CAUSES:
            return End("failed", reason)
        allowed: int = getattr(self._faults, cause)
        spent = sum(attempt.get("cause") == cause for attempt in record.attempts)
        if spent >= allowed:
            tries = f"; {spent} of {allowed} retries are spent" if allowed else ""
            return End(CAUSES[cause], f"{reason}{tries}")
        micro = record.micro_batch
        if cause == "out_of_memory":
            fewer = smaller(self._config(record), self._workers)
            if isinstance(fewer, str):
                return End(CAUSES[cause], f"{reason}; {fewer}")
            micro = fewer
        attempt = {
            "cause": cause,
            "reason": reason,
            "epoch": record.epoch,
            "seconds": record.result.get("seconds"),
            "micro_batch": record.micro_batch,
            "traceback": error[-KEPT:],
        }
        self._records.mark(record.id, state="pending", attempts=[*record.attempts, attempt], micro_batch=micro)
        return None


def smaller(config: Config, workers: int) -> int | str:
    """At most half the images that each worker takes a pass, a divisor of its batch; or why there are none."""
    whole = config.objective.batch_statistics
    if whole is not None:
        return f"no fewer images a pass with {whole}, which sees the whole batch"
    share = config.optim.batch_size // workers
    micro = config.runtime.micro_batch or share
    step = 2 if config.views.mixes else 1
    fitting = [count for count in range(step, micro // 2 + 1, step) if share % count == 0]
    return max(fitting, default=f"no fewer than {micro} images a pass")


def said(error: str) -> str:
    """An error in a line: the last of a traceback, the heart of Ray's account of a death."""
    lines = [line.strip() for line in error.strip().splitlines() if line.strip()]
    pressed = PRESSED.search(error)
    if pressed is not None:
        return f"its process was ended by Ray, as the machine was low on memory: {pressed[1]}"
    account = next((line for line in lines if DETAIL in line), None)
    if account is None:
        return lines[-1] if lines else "it failed without a word"
    detail = account.partition(DETAIL)[2]
    for advice in (" Some common causes", " There are some potential"):
        detail = detail.partition(advice)[0]
    return f"its process died: {lines[-1] if detail.endswith(':') else detail}"  # a colon: a traceback follows
