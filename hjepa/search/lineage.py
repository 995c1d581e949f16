"""Where the members of a population come from: what is written down of it, and copied, before any goes on."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hjepa.config import Config
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.roster import Roster, Seed
from hjepa.search.sections import SchedulerSpec
from hjepa.search.stopping.population import exploits
from hjepa.search.stopping.rule import Rule

#: The field that holds how a member's rates were changed, and its names of the rates.
CHANGES = "optim.changes"
RATES = {"optim.lr": "lr", "optim.weight_decay": "weight_decay"}
#: What a member takes of another: where it stands, and how it came there.
TAKEN = ("metrics.jsonl", "checkpoint.pt")


class Waiting:
    """The paused trials of a study, and which of them goes on."""

    def __init__(
        self,
        scheduler: SchedulerSpec,
        rule: Rule | None,
        records: StudyRecords,
        config: Callable[[TrialRecord], Config],
    ) -> None:
        """`config` is what a trial runs."""
        self._scheduler = scheduler
        self._rule = rule
        self._records = records
        self._config = config

    def next(self, trials: Roster, *, last: bool) -> str | None:
        """The paused trial that is to go on now; None: none. `last`: no other trial will report."""
        paused = {record.id for record in trials.in_state("paused")}
        if not paused or self._rule is None:
            return None
        if self._scheduler.type == "pbt":
            return self._member(trials, last=last)
        return self._rule.promotable(paused, last=last)

    def _member(self, trials: Roster, *, last: bool) -> str | None:
        """The next of a population, whose members all wait for the last.

        A generation that has begun to go on is settled; until then, nothing that it copies from has changed.
        """
        members = [seed for seed in trials if seed.record.duplicate_of is None]
        paused = sorted((s for s in members if s.record.state == "paused"), key=lambda seed: seed.record.index)
        settled = max(seed.record.promoted or 0 for seed in members)
        behind = [seed for seed in paused if (seed.record.epoch or 0) <= settled]
        if last and not behind:
            self._settle(paused)
            behind = paused
        return behind[0].record.id if behind else None

    def _settle(self, members: Sequence[Seed]) -> None:
        """Write down what a generation does, then do it; done again after a crash, it is the same."""
        epoch = max(seed.record.epoch or 0 for seed in members)
        present = {seed.record.id: seed for seed in members if seed.record.epoch == epoch}
        scores = {trial: _score(seed, epoch) for trial, seed in present.items()}
        numbers = {trial: seed.record.index for trial, seed in present.items()}
        found = exploits(scores, numbers, self._scheduler, epoch)
        for exploit in found:
            member, donor = present[exploit.member].record, present[exploit.donor].record
            if not _entry(member, epoch):
                entry = {
                    "epoch": epoch,
                    "from": donor.id,
                    "score": scores[member.id],
                    "factors": dict(exploit.factors),
                    "settings": self._settings(donor, epoch, exploit.factors),
                }
                self._records.mark(member.id, lineage=[*member.lineage, entry])
        for exploit in found:
            _take(present[exploit.donor].record.directory, present[exploit.member].record.directory)

    def _settings(self, donor: TrialRecord, epoch: int, factors: Mapping[str, float]) -> dict[str, Any]:
        """What the donor runs, and one more change of its rates."""
        before = [change.model_dump(mode="json") for change in self._config(donor).optim.changes or ()]
        change = {"epoch": epoch, **{RATES[path]: factor for path, factor in factors.items()}}
        return {**donor.trained, CHANGES: [*before, change]}


def ancestry(trial: TrialRecord, trials: Mapping[str, TrialRecord]) -> list[Mapping[str, Any]]:
    """How a trial's weights came about, oldest first: {epoch: from which on, trial: whose, factors: how changed}."""
    found: list[Mapping[str, Any]] = []
    now: TrialRecord | None = trial
    until: float = float("inf")
    while now is not None:
        last = max((e for e in now.lineage if e["epoch"] < until), key=lambda entry: entry["epoch"], default=None)
        if last is None:
            found.append({"epoch": 0, "trial": now.id, "cell": now.cell, "factors": {}})
            break
        found.append({"epoch": last["epoch"], "trial": now.id, "cell": now.cell, "factors": last["factors"]})
        now, until = trials.get(last["from"]), last["epoch"]
    return found[::-1]


def _entry(record: TrialRecord, epoch: int) -> Mapping[str, Any] | None:
    """What a member has done at this epoch, where it is written down."""
    return next((entry for entry in record.lineage if entry["epoch"] == epoch), None)


def _score(seed: Seed, epoch: int) -> float:
    """A member's own score: its files may be those of another by now."""
    entry = _entry(seed.record, epoch)
    return float(entry["score"] if entry else seed.history.get(epoch, float("-inf")))


def _take(donor: Path, member: Path) -> None:
    """Copy a donor's files, each whole or not at all. Without its checkpoint the member trains from the start."""
    for name in TAKEN:
        if not (donor / name).is_file():
            (member / name).unlink(missing_ok=True)
            continue
        whole = member / f".{name}.copy"
        shutil.copyfile(donor / name, whole)
        os.replace(whole, member / name)
