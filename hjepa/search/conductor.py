"""What runs next and what became of it: a study's decisions, apart from how trials are executed.

Knows neither Ray nor Optuna nor MLflow. Whoever executes trials asks `next_trial`, and tells `started`,
`reported`, `ended` or `failed`; the records on disk are always written before anybody is told.
"""

import errno
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from hjepa.config import Config, rung_metric
from hjepa.overrides import ConfigError
from hjepa.runtime.files import out_of_storage
from hjepa.search.lineage import Waiting
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.refusals import Refusals
from hjepa.search.retries import Retries, said
from hjepa.search.roles import Proposer, Watcher
from hjepa.search.roster import Roster, Seed, means, outcome
from hjepa.search.states import FAILURES
from hjepa.search.stopping.rule import GO_ON
from hjepa.search.stopping.schedulers import make_rule
from hjepa.search.study import Study, config_hash, trial_id
from hjepa.search.trial_record import history

#: Proposals of one configuration before a repeated or impossible one is accepted as such.
ATTEMPTS = 10
#: The state of a trial of which a rule says so.
_STATES = {"stop": "early_stopped", "pause": "paused"}


class Conductor:
    """The driver's side of one study."""

    def __init__(
        self,
        study: Study,
        records: StudyRecords,
        sampler: Proposer,
        *,
        fingerprint: Callable[[Config], str],
        check: Callable[[Config], None],
        watchers: tuple[Watcher, ...] = (),
        refusals: Refusals | None = None,
    ) -> None:
        """Take up the study where its records stand. `check` raises ConfigError for a Config that cannot run, and
        `refusals` for one that is beyond a limit; `fingerprint` is that of the data a Config reads.
        """
        self._study = study
        self._records = records
        self._sampler = sampler
        self._fingerprint = fingerprint
        self._check = check
        self._refusals = refusals or Refusals(records, None)
        self._watchers = watchers
        self._rung_metric = rung_metric(records.metric)
        self._rule = make_rule(study.spec.scheduler, study.base)
        self._retries = Retries(records, study.spec.faults, study.spec.resources.workers, self.config)
        self._waiting = Waiting(study.spec.scheduler, self._rule, records, self.config)
        self._stopped: dict[str, tuple[str, str]] = {}
        #: Why the sampler was not asked any more, where it was not the budget.
        self.exhausted: str | None = None
        self._trials = Roster()
        self._queue: deque[TrialRecord] = deque()
        self._take_up()

    @property
    def study(self) -> Study:
        """What is asked for."""
        return self._study

    @property
    def records(self) -> StudyRecords:
        """The study's files."""
        return self._records

    @property
    def finished(self) -> bool:
        """Whether nothing is left to execute."""
        return not self._queue and not self._paused and len(self._trials) >= self._study.configurations

    @property
    def waiting(self) -> bool:
        """Whether `next_trial` has nothing now and may have something later."""
        return not self._queue and (self._may_propose or self._trials.busy or bool(self._paused))

    @property
    def _may_propose(self) -> bool:
        return self.exhausted is None and len(self._trials) < self._study.configurations

    def running(self) -> list[TrialRecord]:
        """Trials that have started and not ended."""
        return self._trials.in_state("running")

    def next_trial(self) -> TrialRecord | None:
        """The next trial to execute, written down; None when the study asks for no more, or not yet (`waiting`).

        A trial that was paused may be the next one, once it is among the best of its rung.
        """
        while True:
            promoted = self._promote(last=False)
            if promoted is not None:
                return promoted
            while self._may_propose and not self._queue and self._propose(self._trials.next_index()):
                pass
            if self._queue:
                return self._queue.popleft()
            if self._trials.busy or not self._paused:
                return None
            promoted = self._promote(last=True)
            if promoted is not None:
                return promoted
            self._end_paused()

    def config(self, record: TrialRecord) -> Config:
        """What a trial runs."""
        return self._study.config(record.settings, record.seed)

    def started(self, trial: str) -> None:
        """A trial is being executed."""
        self._records.mark(trial, state="running")
        self._update(replace(self._trials.find(trial).record, state="running", reason=None))

    def reported(self, trial: str, metrics: Mapping[str, Any]) -> str | None:
        """A trial reached a rung; the reason to execute it no further, or None."""
        seed = self._trials.find(trial)
        epoch, value = int(metrics["epoch"]), metrics.get(self._rung_metric)
        if value is None or not math.isfinite(value):
            self._stopped[trial] = ("diverged", f"no finite {self._rung_metric} at epoch {epoch}")
            return self._stopped[trial][1]
        seed.history[epoch] = float(value)
        decision = self._rule.observe(trial, epoch, value) if self._rule is not None else GO_ON
        if decision.action == "pause":
            self._records.mark(trial, state="paused")
        if decision.reason is not None:
            self._stopped[trial] = (_STATES[decision.action], decision.reason)
        self._tell_watchers(replace(seed.record, epoch=epoch, score=value, metric=self._rung_metric), metrics)
        return decision.reason

    def ended(self, trial: str) -> None:
        """A trial is no longer executed: it stopped as asked, or its result says how it ended."""
        state, reason = self._stopped.pop(trial, ("failed", "it ended without a result"))
        if state == "paused":
            self._pause(trial)
            return
        self._records.write_result(trial, state, reason)
        self._settle(self._read(trial))

    def answered(self, trial: str) -> None:
        """A trial has ended before it began: its record holds what another study's trial came to."""
        record, seed = self._read(trial), self._trials.find(trial)
        seed.history = history(record, self._rung_metric)
        if self._rule is not None:
            self._rule.replay(trial, dict(seed.history))
        self._settle(record)

    def failed(self, trial: str, error: str, hung: str | None = None) -> None:
        """A trial raised, or its process died; `error` is the traceback or Ray's account, `hung` why it was killed.

        It may be tried again. Raises OSError where nothing can be written any more: it goes on when the study does.
        """
        if trial in self._stopped:  # how it did as it was told is no matter
            self.ended(trial)
            return
        if out_of_storage(error):
            raise OSError(errno.ENOSPC, said(error))
        record = self._read(trial)
        try:
            end = None if record.final else self._retries.judge(record, error, hung)
            if end is not None:
                self._records.write_result(trial, end.state, end.reason, traceback=error)
        except PermissionError:  # its record stays as it is, so that the next run goes on with it
            why = f"{record.directory} cannot be written; the same command goes on with this trial"
            self._update(replace(record, state="failed", reason=why))
            return
        record = self._read(trial)
        if record.final:
            self._settle(record)
        else:
            self._update(record)
            self._queue.append(record)

    def interrupt(self, reason: str) -> list[TrialRecord]:
        """Mark what was running as interrupted; call it when nothing is executed any more."""
        interrupted = []
        for record in self.running():
            if self._stopped.get(record.id, ("",))[0] == "paused":  # written down already
                self._pause(record.id)
                continue
            self._records.write_result(record.id, "interrupted", reason)
            self._records.mark(record.id, state="interrupted")
            now = self._read(record.id)
            if now.final:  # it ended while the study was being stopped
                self._settle(now)
            else:
                self._update(now)
                interrupted.append(now)
        return interrupted

    def _take_up(self) -> None:
        """What the records hold: ended trials are entered, the others are queued, lost ones withdrawn."""
        for record in self._records.trials():
            scored = history(record, self._rung_metric)
            if self._rule is not None and record.state != "duplicate":
                self._rule.enroll(record.id, record.index)
                self._rule.replay(record.id, dict(scored))
            self._trials.enter(record, scored)
        told = self._sampler.told()
        for index, seeds in self._trials.configurations():
            first = next(iter(seeds.values())).record
            if index not in told and not self._settled_badly(index):
                self._tell_of(index, first.overrides)
            for seed in self._study.seeds(index):
                if seed not in seeds:
                    self._write_down(first.config, index, seed, first.overrides)
                elif seeds[seed].record.duplicate_of is None:
                    self._take_up_open(seeds[seed])
        for index in self._sampler.running():
            if index not in self._trials:
                self._sampler.forget(index)
            else:
                self._settle_configuration(index)
        self._settle_duplicates(self._trials)

    def _take_up_open(self, seed: Seed) -> None:
        """A trial that has not ended is judged where the driver died before it could, and queued to go on."""
        record = seed.record
        if record.final or record.state == "paused":
            return
        last = max(seed.history, default=None)
        if self._rule is not None and last is not None and last != record.promoted:
            decision = self._rule.judge(record.id, last)
            if decision.action == "stop":
                self._records.write_result(record.id, "early_stopped", decision.reason)
            if decision.action == "pause":
                self._records.mark(record.id, state="paused")
            if decision.action != "continue":
                self._update(self._read(record.id))
                return
        self._queue.append(record)

    def _tell_of(self, index: int, overrides: Mapping[str, Any]) -> None:
        """Let the sampler know of a configuration that its journal has lost."""
        if index == 0:
            self._sampler.ask(0)
        else:
            self._sampler.adopt(index, overrides)

    def _settled_badly(self, index: int) -> bool:
        return any(seed.record.state in FAILURES for seed in self._trials.configuration(index).values())

    def _propose(self, index: int) -> bool:
        """Write down a new configuration for every seed, or say why there is none; False: not yet."""
        refusal, attempt, most = "", 0, ATTEMPTS * self._refusals.more
        while True:
            attempt += 1
            overrides = self._sampler.ask(index)
            if overrides is None:
                self.exhausted = self._sampler.ended and f"{self._sampler.ended}{refusal}"
                return self.exhausted is not None
            try:
                config = self._study.config(overrides, self._study.spec.seeds[0])
                self._check(config)
                self._refusals.examine(overrides, config)
            except ConfigError as error:
                self._sampler.reject(index)
                refusal = f"; the last cannot run: {error}"
                if attempt < most or self._sampler.walks:
                    continue
                self.exhausted = f"the sampler proposed {most} configurations that cannot run; the last: {error}"
                return True
            name = config_hash(config, self._fingerprint(config))
            if self._trials.is_known(name) and attempt < ATTEMPTS and not self._sampler.repeats:
                self._sampler.reject(index)
                continue
            for seed in self._study.seeds(index):
                self._write_down(name, index, seed, overrides)
            self._settle_duplicates(self._trials.configuration(index).values())
            self._settle_configuration(index)
            return True

    def _write_down(self, name: str, index: int, seed: int, overrides: Mapping[str, Any]) -> None:
        same = self._trials.same(name, seed)
        original = next((record for record in same if record.duplicate_of is None), None)
        identity = trial_id(name, seed, len(same))
        record = TrialRecord(
            id=identity,
            index=index,
            config=name,
            cell=self._sampler.name(index),
            seed=seed,
            overrides=dict(overrides),
            state="pending",
            directory=self._records.folder(identity),
            duplicate_of=original.id if original else None,
            epochs=self._study.epochs,
        )
        self._records.write_trial(record)
        record = self._read(identity)  # where the trial.json was lost, its result may be there
        scored = history(record, self._rung_metric)
        self._trials.enter(record, scored)
        if self._rule is not None:
            self._rule.enroll(identity, index)
            self._rule.replay(identity, dict(scored))
        if original is None and not record.final:
            self._queue.append(record)
        self._tell_watchers(record)

    @property
    def _paused(self) -> list[TrialRecord]:
        return self._trials.in_state("paused")

    def _pause(self, trial: str) -> None:
        """Enter that a trial waits at a rung.

        The sampler hears of it at its end: where curves cross, what it learned from rungs alone would lead it astray
        (benchmarks/search_efficiency.py).
        """
        self._stopped.pop(trial, None)
        self._update(self._read(trial))

    def _promote(self, *, last: bool) -> TrialRecord | None:
        """The paused trial that is to go on now, written down; None: none."""
        name = self._waiting.next(self._trials, last=last)
        if name is None:
            return None
        self._records.mark(name, state="pending", promoted=self._trials.find(name).record.epoch)
        self._update(self._read(name))
        return self._trials.find(name).record

    def _end_paused(self) -> None:
        """No trial will be promoted any more."""
        assert self._rule is not None
        for record in self._paused:
            self._records.write_result(record.id, "early_stopped", self._rule.rest(record.id))
            self._settle(self._read(record.id))

    def _settle(self, record: TrialRecord) -> None:
        """Enter the end of a trial, and of its configuration and its duplicates when it was the last."""
        self._update(record)
        self._settle_duplicates(self._trials.copies(record.id))
        self._settle_configuration(record.index)

    def _settle_duplicates(self, seeds: Iterable[Seed]) -> None:
        """End those of these trials that are duplicates, where the originals have ended."""
        for seed in seeds:
            record = seed.record
            if record.duplicate_of is None or record.final:
                continue
            original = self._trials.find(record.duplicate_of)
            if original.record.final:
                self._records.write_result(record.id, "duplicate", f"the same configuration as {original.record.id}")
                seed.history = dict(original.history)
                self._update(self._read(record.id))
                self._settle_configuration(record.index)

    def _settle_configuration(self, index: int) -> None:
        """Tell the sampler of a configuration whose every seed has ended."""
        seeds = list(self._trials.configuration(index).values())
        if len(seeds) < len(self._study.spec.seeds) or not all(seed.record.final for seed in seeds):
            return
        ends, goals = self._ends(seeds), self._records.goals
        self._sampler.tell(index, *outcome(ends, goals), means(seeds), goals.facts(ends))

    def _ends(self, seeds: list[Seed]) -> list[TrialRecord]:
        """The trials of a configuration, for a duplicate its original."""
        return [self._trials.find(s.record.duplicate_of).record if s.record.duplicate_of else s.record for s in seeds]

    def _read(self, trial: str) -> TrialRecord:
        """A trial as its files show it. A trial.json that was damaged, and so set aside, is written anew."""
        try:
            return self._records.trial(trial)
        except ConfigError:
            self._records.write_trial(self._trials.find(trial).record)
            return self._records.trial(trial)

    def _update(self, record: TrialRecord) -> None:
        self._trials.update(record)
        self._tell_watchers(record)

    def _tell_watchers(self, record: TrialRecord, metrics: Mapping[str, Any] | None = None) -> None:
        for watcher in self._watchers:
            watcher.changed(record, metrics or {})
