"""The records of a study as they stood at one moment."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from hjepa.search.records import StudyRecords, TrialRecord

_T = TypeVar("_T")


class Snapshot(StudyRecords):
    """Reads the trials once, for whoever looks at them several times: a report, a status."""

    def __init__(self, records: StudyRecords) -> None:
        super().__init__(records.directory, records.spec)
        vars(self).update(vars(records))
        self._held: list[TrialRecord] | None = None
        #: What was computed from them, by the function's name.
        self.computed: dict[str, list[Any]] = {}

    def all_trials(self) -> list[TrialRecord]:
        """Every trial, by configuration and seed, as at the first call."""
        if self._held is None:
            self._held = super().all_trials()
        return list(self._held)


def held(compute: Callable[[StudyRecords], list[_T]]) -> Callable[[StudyRecords], list[_T]]:
    """A function that is computed once of a Snapshot, and anew of records that may change."""

    @functools.wraps(compute)
    def once(records: StudyRecords) -> list[_T]:
        if not isinstance(records, Snapshot):
            return compute(records)
        if compute.__name__ not in records.computed:
            records.computed[compute.__name__] = compute(records)
        return list(records.computed[compute.__name__])

    return once
