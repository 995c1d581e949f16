"""Optuna is told what really happened: PRUNED with its scores by epoch, FAIL, COMPLETE; the baseline comes first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from hjepa.search.sampler import StudySampler
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
NUMERIC = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}, "optim.weight_decay": {"uniform": [0.0, 0.4], "step": 0.1}}


@pytest.fixture
def make(make_study: MakeStudy, tmp_path: Path) -> Callable[..., StudySampler]:
    def make(trials: int = 12, **keys: Any) -> StudySampler:
        study = make_study(**keys)
        return StudySampler(study.space, study.spec.sampler, trials=trials, journal=tmp_path / "optuna.journal")

    return make


def journal(tmp_path: Path) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna.journal")))
    return optuna.load_study(study_name="study", storage=storage).trials


def test_the_baseline_is_the_first_and_is_known_to_optuna(make: Callable[..., StudySampler], tmp_path: Path) -> None:
    sampler = make()
    assert sampler.ask(0) == {}
    sampler.tell(0, "completed", 0.5)
    (trial,) = journal(tmp_path)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert trial.params == {"optim.lr": 0.001, "views.augmentation": 0}, "its inactive dimension is not suggested"


def test_a_baseline_outside_the_space_is_not_forced_into_it(make: Callable[..., StudySampler], tmp_path: Path) -> None:
    sampler = make(space={"optim.lr": {"uniform": [0.1, 0.2]}})
    assert sampler.ask(0) == {}
    sampler.tell(0, "completed", 0.5)
    assert journal(tmp_path) == []


def test_each_end_becomes_its_own_state(make: Callable[..., StudySampler], tmp_path: Path) -> None:
    sampler = make()
    for index in range(4):
        sampler.ask(index)
    sampler.tell(0, "completed", 0.7, {1: 0.3, 2: 0.6})
    sampler.tell(1, "pruned", None, {1: 0.25, 2: 0.35})
    sampler.tell(2, "failed")
    sampler.tell(0, "failed")  # told already: the first word counts
    trials = journal(tmp_path)
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    assert [trial.state for trial in trials] == states
    assert trials[0].value == 0.7
    assert trials[1].intermediate_values == {1: 0.25, 2: 0.35}
    assert trials[1].value == 0.35
    assert sampler.told() == {0, 1, 3}
    assert set(sampler.running()) == {3}


@pytest.mark.parametrize("kind", ["tpe", "random", "gp", "cmaes"])
def test_every_sampler_stays_inside_the_space_and_learns(
    make: Callable[..., StudySampler], kind: str, make_study: MakeStudy
) -> None:
    study = make_study(space=NUMERIC)
    sampler = make(space=NUMERIC, sampler={"type": kind}, trials=6)
    seen = []
    for index in range(6):
        overrides = sampler.ask(index)
        assert overrides is not None
        study.config(overrides, 0)
        seen.append(tuple(overrides.values()))
        sampler.tell(index, "completed", overrides.get("optim.weight_decay", 0.0))
    assert len(set(seen)) > 3


def test_conditional_dimensions_appear_only_under_their_condition(make: Callable[..., StudySampler]) -> None:
    sampler = make()
    proposals = [sampler.ask(index) or {} for index in range(16)]
    for proposal in proposals[1:]:
        assert ("views.color_jitter" in proposal) == (proposal["views.augmentation"] == "three_augment")
    assert {"views.color_jitter" in proposal for proposal in proposals} == {True, False}


def test_choices_may_be_lists_and_null(make: Callable[..., StudySampler]) -> None:
    space = {
        "objective.level_weights": {"choice": [[1, 1, 1], [1, 0.5, 0.25]]},
        "optim.clip_norm": {"choice": [None, 3.0]},
    }
    sampler = make(space=space)
    proposals = [sampler.ask(index) or {} for index in range(1, 12)]
    assert {str(p["objective.level_weights"]) for p in proposals} == {"[1, 1, 1]", "[1, 0.5, 0.25]"}
    assert {p["optim.clip_norm"] for p in proposals} == {None, 3.0}


def test_a_grid_is_walked_once_and_goes_on_where_it_stood(
    make: Callable[..., StudySampler], make_study: MakeStudy
) -> None:
    keys: dict[str, Any] = {
        "space": {"optim.clip_norm": {"choice": [None, 3.0]}, "ema.start": {"choice": [0.9, 0.99]}},
        "sampler": {"type": "grid"},
    }
    sampler = make(**keys)
    walked = [sampler.ask(index) for index in (1, 2)]
    sampler.reject(2)
    again = make(**keys)
    walked += [again.ask(index) for index in (2, 3)]
    assert again.ask(4) is None
    assert walked == make_study(**keys).space.grid()


def test_a_restart_proposes_what_an_unbroken_run_would(make: Callable[..., StudySampler], tmp_path: Path) -> None:
    unbroken = make()
    for index in range(5):
        unbroken.ask(index)
        unbroken.tell(index, "completed", 0.1 * index)
    expected = unbroken.ask(5)
    (tmp_path / "optuna.journal").unlink()
    for index in range(6):
        sampler = make()  # a new process for every proposal
        proposal = sampler.ask(index)
        if index < 5:
            make().tell(index, "completed", 0.1 * index)
    assert proposal == expected


@pytest.mark.parametrize("kind", ["tpe", "random", "grid"])
def test_a_driver_that_is_killed_in_the_middle_of_a_proposal_makes_it_again(
    make: Callable[..., StudySampler], tmp_path: Path, kind: str
) -> None:
    """The journal is cut after each of its lines, and Optuna's own lock is left behind."""
    path = tmp_path / "optuna.journal"
    space = {"optim.clip_norm": {"choice": [None, 1.0, 2.0]}, "ema.start": {"choice": [0.9, 0.99, 0.999]}}
    keys: dict[str, Any] = {"space": space, "sampler": {"type": kind}}
    sampler = make(**keys)
    for index in range(6):
        sampler.ask(index)
        sampler.tell(index, "completed", 0.1 * index)
    before = path.read_bytes()
    expected = sampler.ask(6)
    added = path.read_bytes()[len(before) :].splitlines(keepends=True)
    assert len(added) > 2
    for kept in range(len(added) + 1):
        path.write_bytes(before + b"".join(added[:kept]))
        Path(f"{path}.lock").symlink_to(path)
        again = make(**keys)
        for index in again.running():
            again.forget(index)
        assert again.ask(6) == expected, added[:kept]
        assert list(again.running()) == [6]


def test_a_proposal_and_its_end_look_once_at_all_trials(
    make: Callable[..., StudySampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's own look for trials that wait to be asked; what a trial costs does not grow by more."""
    looks, get = [], JournalStorage.get_all_trials

    def looked(self: JournalStorage, *arguments: Any, **keys: Any) -> list[FrozenTrial]:
        looks.append(keys)
        return get(self, *arguments, **keys)

    sampler = make(space=NUMERIC, sampler={"type": "random"})
    monkeypatch.setattr(JournalStorage, "get_all_trials", looked)
    for index in range(1, 4):
        looks.clear()
        sampler.ask(index)
        sampler.running()
        sampler.told()
        sampler.tell(index, "pruned", None, {1: 0.1, 2: 0.2})
        assert len(looks) == 1


def test_what_a_reopened_journal_knows_is_what_was_known(make: Callable[..., StudySampler]) -> None:
    sampler = make(sampler={"type": "random"})
    for index, end in enumerate(("completed", "pruned", "failed", None, "rejected", "forgotten", None)):
        sampler.ask(index)
        if end in ("completed", "pruned", "failed"):
            sampler.tell(index, end, 0.5 if end == "completed" else None)  # type: ignore[arg-type]
        elif end == "rejected":
            sampler.reject(index)
        elif end == "forgotten":
            sampler.forget(index)
    again = make(sampler={"type": "random"})
    assert vars(again._proposed) == vars(sampler._proposed)
    assert (set(again.running()), again.told()) == ({3, 6}, {0, 1, 3, 6})


def test_a_configuration_from_the_records_can_be_entered(make: Callable[..., StudySampler], tmp_path: Path) -> None:
    sampler = make()
    sampler.adopt(3, {"optim.lr": 0.005, "views.augmentation": "three_augment", "views.color_jitter": 0.2})
    sampler.tell(3, "completed", 0.4)
    (trial,) = journal(tmp_path)
    assert trial.params == {"optim.lr": 0.005, "views.augmentation": 1, "views.color_jitter": 0.2}
