"""The records of a study as they stood at one moment."""

from hjepa.search.records import StudyRecords, TrialRecord


class Snapshot(StudyRecords):
    """Reads the trials once, for whoever looks at them several times: a report, a status."""

    def __init__(self, records: StudyRecords) -> None:
        super().__init__(records.directory, records.spec)
        vars(self).update(vars(records))
        self._held: list[TrialRecord] | None = None

    def all_trials(self) -> list[TrialRecord]:
        """Every trial, by configuration and seed, as at the first call."""
        if self._held is None:
            self._held = super().all_trials()
        return list(self._held)
