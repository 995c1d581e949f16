"""Runs a study on Ray: one Tuner over the Conductor's trials, and a clean end in every case."""

import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ray import tune

from hjepa.config import Config
from hjepa.data import fingerprint
from hjepa.search.ablation.cells import FixedCells
from hjepa.search.budget import Ledger, write_ending
from hjepa.search.conductor import Conductor
from hjepa.search.execution.adapters import Follower, Proposals, Verdicts, folder_of, name_of
from hjepa.search.execution.deaths import known
from hjepa.search.execution.interruption import Interruption, NoStorage, RayLost, StopStudy
from hjepa.search.execution.quiet import diverted
from hjepa.search.execution.session import Pulse, ray_session, storage
from hjepa.search.execution.trainable import run_order
from hjepa.search.goals import Goals
from hjepa.search.live import LiveTable, aloud
from hjepa.search.plan import Plan, make_plan
from hjepa.search.records import StudyRecords
from hjepa.search.refusals import Refusals
from hjepa.search.reuse import Library, check_reuse
from hjepa.search.roles import Proposer, Watcher
from hjepa.search.sampler import StudySampler
from hjepa.search.snapshot import Snapshot
from hjepa.search.study import Study
from hjepa.search.tracking.mirror import Mirror
from hjepa.search.warm_start import check_sources, warm_start
from hjepa.search.watch import Watch
from hjepa.training import check, parameters

#: What the function that watches over a trial's workers takes: Ray refuses nothing at all, and any share of
#: a CPU would keep the workers from having all of them. A byte of memory.
WATCHING = {"memory": 1.0}


@dataclass(frozen=True)
class Ending:
    """How a run of a study ended: `stopped` says why it ended early, `by_signal` whether a person did it,
    `broken` whether nothing could be written, or executed, any more.
    """

    stopped: str | None
    by_signal: bool
    exhausted: str | None
    tracking: str
    untracked: str | None
    broken: bool = False


def run_study(
    plan: Plan,
    *,
    address: str | None = None,
    tracking_uri: str | None = None,
    extend: int | None = None,
    reuse: Sequence[Path] = (),
) -> Ending:
    """Run what the plan asks and the records do not hold yet, on a local Ray or the cluster at `address`.

    `extend` is the number of trials that were just added to the study, `reuse` are studies whose trials answer the same
    ones here.

    Nothing of Ray is left when it returns. Raises ConfigError, before anything is written, for missing
    data, a directory of another study or one that another driver is using.
    """
    study, directory = plan.study, plan.directory.absolute()
    check_reuse(study, reuse)
    content = fingerprint(study.base.data)
    library = Library(reuse, _fingerprint, test=study.design is not None)
    check_sources(study, directory)
    records = StudyRecords.create_or_open(directory, study, content, extend=extend)
    with records.driving(), Interruption(study.spec.budget.hours) as interruption:
        mirror = Mirror(records, tracking_uri)
        size = {"epochs": study.epochs, "trials": plan.trials, "concurrent": plan.concurrent}
        log = directory / "driver.log"
        with diverted(log) as terminal, mirror, aloud(LiveTable(terminal, **size, goals=records.goals)) as live:
            watch, found = Watch(study.spec.faults), Snapshot(records)
            known = found.trials()
            ledger = Ledger(study.spec.budget, study.spec.resources.workers)
            live.take_up(known)
            watch.take_up(known)
            ledger.take_up(found.all_trials())
            write_ending(directory, None)
            conductor = _conductor(study, records, live, (live, mirror, watch, ledger))
            interruption.limit = lambda: None if conductor.finished and not conductor.running() else ledger.reason
            stopped, broken = None, False
            try:
                if not conductor.finished:
                    interruption.check()
                    with live:
                        follower = Follower(conductor, interruption, watch, Pulse(live.say))
                        _tune(plan, conductor, library, follower, interruption, address, live)
            except StopStudy as stop:
                stopped, broken = str(stop), isinstance(stop, NoStorage | RayLost)
                with contextlib.suppress(OSError):  # the records show without it what was interrupted
                    conductor.interrupt(stopped)
                    write_ending(directory, stopped)
            mirror.finish()
    return Ending(
        stopped=stopped,
        by_signal=interruption.by_signal is not None and stopped is not None,
        exhausted=conductor.exhausted,
        tracking=mirror.place,
        untracked=mirror.problem,
        broken=broken,
    )


def _conductor(study: Study, records: StudyRecords, live: LiveTable, watchers: tuple[Watcher, ...]) -> Conductor:
    proposer, refusals = _proposer(study, records, live), Refusals(records, parameters)
    return Conductor(
        study, records, proposer, fingerprint=_fingerprint, check=check, watchers=watchers, refusals=refusals
    )


def _proposer(study: Study, records: StudyRecords, live: LiveTable) -> Proposer:
    """Where the study's configurations come from; what it knows from the start is said."""
    if study.design is not None:
        return FixedCells(study.design, records.metric, records.trials)
    journal = records.directory / "optuna.journal"
    name = f"{study.epochs} epochs"  # scores of other epochs say nothing of these
    sampler = StudySampler(
        study.space,
        study.spec.sampler,
        trials=study.configurations,
        journal=journal,
        name=name,
        goals=records.goals,
    )
    warm = warm_start(study, records.directory, _fingerprint)
    for line in warm.lines:
        live.say(line)
    sampler.start_from(warm)
    return sampler


def _fingerprint(config: Config) -> str:
    return fingerprint(config.data)


def _tune(
    plan: Plan,
    conductor: Conductor,
    library: Library,
    follower: Follower,
    interruption: Interruption,
    address: str | None,
    live: LiveTable,
) -> None:
    """Execute trials until the Conductor has no more. Raises StopStudy."""
    nested = plan.study.spec.resources.workers > 1
    place = Path(storage(conductor.records.directory))
    shutil.rmtree(place, ignore_errors=True)  # Tune's own files; a study never goes on from them
    with ray_session(address, dashboard=nested) as resources, known(), follower.pulse.watching():
        interruption.arm()
        interruption.check()
        tuner = _tuner(make_plan(plan.study, plan.directory, resources), conductor, library, follower, place)
        try:
            tuner.fit()
        except StopStudy as stop:
            live.say(f"{stop}: ending the trials")
            raise


def _reused(plan: Plan) -> bool:
    """Whether one process trains trial after trial. A nested trial that is stopped ends with its processes; and where
    a study judges memory, and that is the process's, each has its own: an earlier one would leave something behind.
    """
    goals = Goals.of(plan.study.resolved())
    judged = "memory" in goals.costs or any(limit.name == "memory" for limit in goals.limits)
    counted = plan.gpus > 0 and sys.platform != "darwin"  # by CUDA; Apple's accelerators share the process's memory
    return plan.study.spec.resources.workers == 1 and (not judged or counted)


def _tuner(plan: Plan, conductor: Conductor, library: Library, follower: Follower, place: Path) -> tune.Tuner:
    resources = plan.study.spec.resources
    nested = resources.workers > 1
    share = WATCHING if nested else {"CPU": float(resources.cpus), "GPU": plan.gpus}
    return tune.Tuner(
        tune.with_resources(run_order, {name: amount for name, amount in share.items() if amount}),
        tune_config=tune.TuneConfig(
            search_alg=Proposals(conductor, plan.gpus, library),
            scheduler=Verdicts(conductor),
            num_samples=-1,
            max_concurrent_trials=plan.concurrent,
            reuse_actors=_reused(plan),
            trial_name_creator=name_of,
            trial_dirname_creator=folder_of,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(place),
            callbacks=[follower],
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
