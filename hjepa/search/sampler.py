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
from hjepa.search.proposed import FIRST, INDEX, KNOWN, LOST, POINT, Proposed, State
from hjepa.search.roles import Outcome
from hjepa.search.sections import SamplerSpec
from hjepa.search.space import Dimension, Space
from hjepa.search.study import cell_name
from hjepa.search.warm_start import WarmStart

_STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
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

    @property
    def walks(self) -> bool:
        """Whether each proposal is another one, until there are no more."""
        return self._spec.type == "grid"

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
        self._proposed = Proposed()
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=name,
            directions=goals.directions,
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        for trial in self._study.get_trials(deepcopy=False):
            attributes, state = trial.user_attrs, _standing(trial.state)
            if state == "running" and INDEX not in attributes:  # a driver that was killed had not named it yet
                self._strike_out(trial)
                attributes, state = {LOST: True}, "failed"
            self._proposed.enter(attributes, state)

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
        if index in self._proposed.scored:  # its record is gone: the same again, whose result may still be there
            lost = self._trial(self._proposed.scored[index])
            return {path: _decoded(self._space[path], value) for path, value in lost.params.items()}
        place = next((number for number in range(len(self._first)) if number not in self._proposed.firsts), None)
        if place is not None:
            self.adopt(index, self._first[place], first=place)
            return dict(self._first[place])
        if self._spec.type != "grid":
            return self._suggest(index)
        point = next((number for number in range(len(self._grid)) if number not in self._proposed.points), None)
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
        entered = self._proposed.known
        for number, known in enumerate(warm.known[entered:], start=entered):
            dimensions = {path: self._space[path] for path in known.overrides}
            trial = create_trial(
                state=_STATES[known.outcome],
                value=known.value,
                params={path: encoded(dimensions[path], value) for path, value in known.overrides.items()},
                distributions={path: distribution(dimension) for path, dimension in dimensions.items()},
                user_attrs={KNOWN: number},
                intermediate_values=dict(known.history),
            )
            self._study.add_trial(trial)
            self._proposed.enter(trial.user_attrs, _standing(trial.state))

    def adopt(
        self, index: int, overrides: Mapping[str, Any], point: int | None = None, first: int | None = None
    ) -> None:
        """Make a running Optuna trial of a configuration that was chosen elsewhere (grid `point`, those to be tried
        `first`, records).
        """
        if point is None and overrides in self._grid:
            point = self._grid.index(dict(overrides))
        fixed = {path: encoded(self._space[path], value) for path, value in overrides.items()}
        self._study.enqueue_trial(fixed, user_attrs={POINT: point, FIRST: first})
        self._suggest(index)

    def reject(self, index: int) -> None:
        """Withdraw the last proposal under an index: nothing is learned from it."""
        self.tell(index, "failed")

    def forget(self, index: int) -> None:
        """Withdraw a proposal that was written down nowhere: the next one under this index is the same again."""
        number = self._proposed.running.get(index)
        if number is not None:
            trial = self._trial(number)
            self._strike_out(trial)
            self._proposed.lose(index, trial.user_attrs)

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
        number = self._proposed.running.get(index)
        if number is None:
            return
        frozen = self._trial(number)
        self._study.sampler = RandomSampler()  # opening a trial again draws from the sampler; draw nothing of value
        trial = Trial(self._study, frozen._trial_id)
        if outcome != "failed":
            self._constrain(trial, facts or {})
        state, values = _STATES[outcome], None if value is None or outcome != "completed" else [value]
        if self._goals.several:
            values = self._several(trial, outcome, value, history or {}, facts or {})
            state = TrialState.FAIL if values is None else TrialState.COMPLETE
        else:
            for epoch, score in sorted((history or {}).items()):
                if epoch not in frozen.intermediate_values:
                    trial.report(score, epoch)
        self._study.tell(trial, values, state=state)
        self._proposed.end(index, _standing(state))

    def _constrain(self, trial: Trial, facts: Mapping[str, float]) -> None:
        for limit in self._goals.limits:  # one that was not measured counts as not kept
            trial.set_constraint(limit.name, limit.excess(facts[limit.name]) if limit.name in facts else 1.0)

    def _several(
        self,
        trial: Trial,
        outcome: Outcome,
        value: float | None,
        history: Mapping[int, float],
        facts: Mapping[str, float],
    ) -> list[float] | None:
        """What Optuna is told of several objectives; None where one was not measured."""
        score = history[max(history)] if outcome == "pruned" and history else value
        values = None if score is None or outcome == "failed" else self._goals.values(score, facts)
        if values is not None:
            trial.set_constraint(_STOPPED, 1.0 if outcome == "pruned" else 0.0)
        return values

    def running(self) -> dict[int, int]:
        """Optuna's number of each configuration whose end it has not been told."""
        return dict(self._proposed.running)

    def told(self) -> set[int]:
        """Configurations that Optuna knows: running, or ended with a score."""
        return {*self._proposed.running, *self._proposed.scored}

    def _strike_out(self, trial: FrozenTrial) -> None:
        storage = self._study._storage
        storage.set_trial_user_attr(trial._trial_id, LOST, True)
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _trial(self, number: int) -> FrozenTrial:
        """One trial by its number, without a look at the others."""
        storage = self._study._storage
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number))

    def _suggest(self, index: int) -> dict[str, Any]:
        self._study.sampler = self._fresh_sampler()
        trial = self._study.ask()
        trial.set_user_attr(INDEX, index)
        self._proposed.enter(trial.user_attrs, "running")
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
        seed = int(np.random.SeedSequence([self._spec.seed, self._proposed.asked]).generate_state(1)[0])
        if self._proposed.stuck(_STUCK):
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


def _standing(state: TrialState) -> State:
    """A state of Optuna's, as far as it matters here."""
    if state == TrialState.FAIL:
        return "failed"
    return "scored" if state.is_finished() else "running"


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
