"""Trials that another study has run already: the same configuration, seed, data and version of the method.

Their results are copied into this study, marked with where they come from, and do not run again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hjepa.config import Config
from hjepa.overrides import ConfigError, identity
from hjepa.runtime.files import write_bytes
from hjepa.search.records import StudyRecords
from hjepa.search.study import Study
from hjepa.search.trial_record import TrialRecord

#: Files that are copied with a result.
COPIED = ("metrics.jsonl", "experiment.yaml")


def check_reuse(study: Study, directories: Sequence[Path]) -> None:
    """Raise ConfigError where results of other studies cannot stand for this one's."""
    if study.spec.scheduler.type == "pbt" and directories:
        why = "a member that has ended could not be copied, nor copy"
        raise ConfigError([f"--reuse: allowed only without scheduler.type pbt: {why} ({study.source})"])


class Library:
    """Completed trials of other studies, by the identity under which they were trained."""

    def __init__(self, directories: Iterable[Path], fingerprint: Callable[[Config], str], *, test: bool) -> None:
        """`test`: an answer needs the score on test, too. Raises ConfigError for what is no study's directory."""
        self._fingerprint = fingerprint
        self._files = (*COPIED, *(("test.json",) if test else ()))
        self._known: dict[str, tuple[StudyRecords, TrialRecord]] = {}
        for directory in directories:
            records = StudyRecords.open(directory.absolute())
            for trial in records.all_trials():
                name = trial.result.get("identity")
                tested = not test or (trial.directory / "test.json").is_file()
                if trial.state == "completed" and isinstance(name, str) and tested:
                    self._known.setdefault(name, (records, trial))

    def __len__(self) -> int:
        """How many trials there are."""
        return len(self._known)

    def answer(self, own: StudyRecords, record: TrialRecord, config: Config) -> bool:
        """End a trial that has not begun with another study's result, where there is one.

        The result is written last: until then the trial is one that has to run.
        """
        if not self._known or record.epoch is not None or record.attempts:
            return False
        records, found = self._known.get(identity(config, self._fingerprint(config)), (own, record))
        if records.directory == own.directory:
            return False
        for file in self._files:
            if (found.directory / file).is_file():
                write_bytes(record.directory / file, (found.directory / file).read_bytes())
        source = {"study": records.name, "directory": str(records.directory), "trial": found.id}
        facts = {key: value for key, value in found.result.items() if key not in ("state", "reason")}
        reason = f"answered by {found.id} of {records.directory}"
        own.write_result(record.id, "completed", reason, **facts, reused_from=source)
        return True


def lines(trials: Iterable[TrialRecord]) -> list[str]:
    """How many trials were answered by each other study."""
    known = Counter(str(trial.result["reused_from"].get("directory")) for trial in trials if _source(trial))
    return [f"answered from {place} and not run again: {count} of the trials" for place, count in known.items()]


def _source(trial: TrialRecord) -> bool:
    return isinstance(trial.result.get("reused_from"), dict)
