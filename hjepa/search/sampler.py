"""Who proposes the next configuration: an Optuna study that is told what really happened.

Beside importances.py the only module that imports Optuna. A configuration is known by its index (0 is the
baseline); its Optuna trial carries that index as an attribute. Choices are suggested by their position, so that lists
and null may be choices.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hjepa.search.files import mend_journal
from hjepa.search.goals import Goals
from hjepa.search.roles import Outcome
from hjepa.search.sections import SamplerSpec
from hjepa.search.space import Dimension, Space
from hjepa.search.study import cell_name
from hjepa.search.warm_start import WarmStart

#: Attributes of a trial that another study ran, and of one that was to be tried first: its place among these.
_KNOWN, _FIRST = "known", "first"
_STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_SCORED = (TrialState.COMPLETE, TrialState.PRUNED)
#: Attributes of an Optuna trial: its configuration, the point of a grid, and that a killed driver left it unused.
_INDEX, _POINT, _LOST = "index", "point", "lost"


#: After so many proposals in a row that failed or were refused the next one is drawn at random.
_STUCK = 10
#: The constraint that a configuration does not keep which was stopped early, where there are several objectives.
_STOPPED = "stopped early"
_SCORE_ALONE = Goals("probe.top1", "final_budget")


class StudySampler:
    """Proposals over a space, kept in a journal file so that a study can go on."""

    #: A configuration that is known is not proposed again if that can be helped.
    repeats = False
    #: Why `ask` answers None, for good.
    ended: str | None = "the grid has no more points"

    def __init__(
        self,
        space: Space,
        spec: SamplerSpec,
        *,
        trials: int,
        journal: Path,
        name: str = "study",
        goals: Goals = _SCORE_ALONE,
    ) -> None:
        """Open or create the Optuna study of this name in `journal`; `trials` scales the random start and the
        generations of NSGA-II.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        mend_journal(journal)
        Path(f"{journal}.lock").unlink(missing_ok=True)  # Optuna's own, of a driver that was killed: there is no other
        self._space = space
        self._spec = spec
        self._goals = goals
        self._generation = max(4, min(50, trials // 5))
        self._startup = max(2, min(10, trials // 3))
        self._grid = space.grid() if spec.type == "grid" else []
        self._first: Sequence[Mapping[str, Any]] = ()
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=name,
            directions=goals.directions,
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        for trial in self._study.get_trials(deepcopy=False):  # a driver that was killed had not named them yet
            if not trial.state.is_finished() and _INDEX not in trial.user_attrs:
                self._strike_out(trial)

    def ask(self, index: int) -> dict[str, Any] | None:
        """The overrides of a new configuration; None when a grid has been walked to its end.

        Configuration 0 is the baseline: no overrides. Optuna learns of it where the base's values lie
        inside the space.
        """
        if index == 0:
            values = self._base_values()
            if values is not None:
                self.adopt(0, values)
            return {}
        lost = [trial for trial in self._trials() if trial.user_attrs[_INDEX] == index and trial.state in _SCORED]
        if lost:  # its record is gone: the same configuration again, whose result may still be there
            return {path: _decoded(self._space[path], value) for path, value in lost[0].params.items()}
        tried = {trial.user_attrs.get(_FIRST) for trial in self._trials() if _LOST not in trial.user_attrs}
        place = next((number for number in range(len(self._first)) if number not in tried), None)
        if place is not None:
            self.adopt(index, self._first[place], first=place)
            return dict(self._first[place])
        if self._spec.type != "grid":
            return self._suggest(index)
        walked = {trial.user_attrs.get(_POINT) for trial in self._trials() if _LOST not in trial.user_attrs}
        point = next((number for number in range(len(self._grid)) if number not in walked), None)
        if point is None:
            return None
        self.adopt(index, self._grid[point], point)
        return dict(self._grid[point])

    def name(self, index: int) -> str:
        """The name of a configuration."""
        return cell_name(index)

    def start_from(self, warm: WarmStart) -> None:
        """Let Optuna know of what other studies ran, each once, and propose first what is to be tried first."""
        self._first = warm.first
        entered = sum(_KNOWN in trial.user_attrs for trial in self._study.get_trials(deepcopy=False))
        for number, known in enumerate(warm.known[entered:], start=entered):
            dimensions = {path: self._space[path] for path in known.overrides}
            self._study.add_trial(
                create_trial(
                    state=_STATES[known.outcome],
                    value=known.value,
                    params={path: encoded(dimensions[path], value) for path, value in known.overrides.items()},
                    distributions={path: distribution(dimension) for path, dimension in dimensions.items()},
                    user_attrs={_KNOWN: number},
                    intermediate_values=dict(known.history),
                )
            )

    def adopt(
        self, index: int, overrides: Mapping[str, Any], point: int | None = None, first: int | None = None
    ) -> None:
        """Make a running Optuna trial of a configuration that was chosen elsewhere (grid `point`, those to be tried
        `first`, records).
        """
        if point is None and overrides in self._grid:
            point = self._grid.index(dict(overrides))
        fixed = {path: encoded(self._space[path], value) for path, value in overrides.items()}
        self._study.enqueue_trial(fixed, user_attrs={_POINT: point, _FIRST: first})
        self._suggest(index)

    def reject(self, index: int) -> None:
        """Withdraw the last proposal under an index: nothing is learned from it."""
        self.tell(index, "failed")

    def forget(self, index: int) -> None:
        """Withdraw a proposal that was written down nowhere: the next one under this index is the same again."""
        number = self.running().get(index)
        if number is not None:
            self._strike_out(self._study.get_trials(deepcopy=False)[number])

    def tell(
        self,
        index: int,
        outcome: Outcome,
        value: float | None = None,
        history: Mapping[int, float] | None = None,
        facts: Mapping[str, float] | None = None,
    ) -> None:
        """The outcome of a configuration: its mean over seeds, its scores by epoch, and what it cost.

        Of several objectives Optuna can prune none: one that was stopped is told with its last score, as one that
        does not keep a constraint of its own, so that something is learned of it and it stands below all others.
        Does nothing for a configuration that Optuna was not told of, or has been told the end of.
        """
        number = self.running().get(index)
        if number is None:
            return
        frozen = self._study.get_trials(deepcopy=False)[number]
        self._study.sampler = RandomSampler()  # opening a trial again draws from the sampler; draw nothing of value
        trial = Trial(self._study, frozen._trial_id)
        if outcome != "failed":
            self._constrain(trial, facts or {})
        if self._goals.several:
            self._tell_several(trial, outcome, value, history or {}, facts or {})
            return
        for epoch, score in sorted((history or {}).items()):
            if epoch not in frozen.intermediate_values:
                trial.report(score, epoch)
        self._study.tell(trial, value if outcome == "completed" else None, state=_STATES[outcome])

    def _constrain(self, trial: Trial, facts: Mapping[str, float]) -> None:
        for limit in self._goals.limits:  # one that was not measured counts as not kept
            trial.set_constraint(limit.name, limit.excess(facts[limit.name]) if limit.name in facts else 1.0)

    def _tell_several(
        self,
        trial: Trial,
        outcome: Outcome,
        value: float | None,
        history: Mapping[int, float],
        facts: Mapping[str, float],
    ) -> None:
        score = history[max(history)] if outcome == "pruned" and history else value
        values = None if score is None or outcome == "failed" else self._goals.values(score, facts)
        if values is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_constraint(_STOPPED, 1.0 if outcome == "pruned" else 0.0)
        self._study.tell(trial, values)

    def running(self) -> dict[int, int]:
        """Optuna's number of each configuration whose end it has not been told."""
        return {trial.user_attrs[_INDEX]: trial.number for trial in self._trials() if trial.state == TrialState.RUNNING}

    def told(self) -> set[int]:
        """Configurations that Optuna knows: running, or ended with a score."""
        known = (TrialState.RUNNING, *_SCORED)
        return {trial.user_attrs[_INDEX] for trial in self._trials() if trial.state in known}

    def _strike_out(self, trial: FrozenTrial) -> None:
        storage = self._study._storage
        storage.set_trial_user_attr(trial._trial_id, _LOST, True)
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _trials(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if _INDEX in trial.user_attrs]

    def _suggest(self, index: int) -> dict[str, Any]:
        self._study.sampler = self._fresh_sampler()
        trial = self._study.ask()
        trial.set_user_attr(_INDEX, index)
        assigned: dict[str, Any] = {}
        for dimension in self._space.dimensions:
            if self._space.is_active(dimension, assigned):
                assigned[dimension.path] = _suggested(trial, dimension)
        return assigned

    def _base_values(self) -> dict[str, Any] | None:
        """The base's values of the active dimensions; None when one lies outside the space."""
        values: dict[str, Any] = {}
        for dimension in self._space.dimensions:
            if not self._space.is_active(dimension, values):
                continue
            value = self._space.base[dimension.path]
            if not inside(dimension, value):
                return None
            values[dimension.path] = value
        return values

    def _fresh_sampler(self) -> BaseSampler:
        """A sampler whose draws depend on the study's seed and history alone, so that a restart changes nothing."""
        known = self._study.get_trials(deepcopy=False)
        asked = sum(_LOST not in trial.user_attrs for trial in known)
        seed = int(np.random.SeedSequence([self._spec.seed, asked]).generate_state(1)[0])
        if len(known) >= _STUCK and all(trial.state == TrialState.FAIL for trial in known[-_STUCK:]):
            return RandomSampler(seed=seed)  # nothing is learned of what fails: it would be proposed again and again
        with warnings.catch_warnings():
            # `group` and GPSampler are marked experimental; both are wanted (conditional dimensions; small budgets).
            warnings.simplefilter("ignore", ExperimentalWarning)
            match self._spec.type:
                case "tpe":
                    return TPESampler(multivariate=True, group=True, n_startup_trials=self._startup, seed=seed)
                case "gp":
                    return GPSampler(n_startup_trials=self._startup, seed=seed)
                case "cmaes":
                    return CmaEsSampler(n_startup_trials=self._startup, warn_independent_sampling=False, seed=seed)
                case "nsgaii":
                    return NSGAIISampler(population_size=self._generation, seed=seed)
                case _:
                    return RandomSampler(seed=seed)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna knows it; a choice by its position."""
    if dimension.kind == "choice":
        return CategoricalDistribution(range(len(dimension.choices)))
    values = dimension.values() if dimension.step is not None else None
    high = values[-1] if values else dimension.high
    if dimension.integer:
        return IntDistribution(
            int(dimension.low), int(high), log=dimension.log, step=int(dimension.step) if dimension.step else 1
        )
    return FloatDistribution(dimension.low, float(high), log=dimension.log, step=dimension.step)


def _suggested(trial: Trial, dimension: Dimension) -> Any:
    drawn_from = distribution(dimension)
    match drawn_from:
        case CategoricalDistribution():
            position = trial.suggest_categorical(dimension.path, drawn_from.choices)
            assert isinstance(position, int)
            return dimension.choices[position]
        case IntDistribution():
            step, log = drawn_from.step, drawn_from.log
            return trial.suggest_int(dimension.path, drawn_from.low, drawn_from.high, step=step, log=log)
        case FloatDistribution():
            low, high = drawn_from.low, drawn_from.high
            return trial.suggest_float(dimension.path, low, high, step=drawn_from.step, log=drawn_from.log)
    raise TypeError(f"{dimension.path}: no Optuna distribution")


def encoded(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna stores it: the position of a choice, else the number."""
    return dimension.choices.index(value) if dimension.kind == "choice" else value


def _decoded(dimension: Dimension, stored: Any) -> Any:
    """A value from what Optuna stores of it."""
    return dimension.choices[stored] if dimension.kind == "choice" else stored


def inside(dimension: Dimension, value: Any) -> bool:
    """Whether a value is one of a dimension's."""
    if dimension.kind == "choice":
        return value in dimension.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(distribution(dimension)._contains(float(value)))
