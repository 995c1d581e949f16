"""A study that has run can have more configurations, more seeds and other epochs: what was added stays, whatever ended
is never run again, and trials of different epochs are never ranked together."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.search.analysis import other_budgets, standings, winner
from hjepa.search.confirmation import confirmed_in, folder_of
from hjepa.search.estimate import estimate
from hjepa.search.extension import continued
from hjepa.search.plan import make_plan
from hjepa.search.records import EXTENSION, StudyRecords
from hjepa.search.reports.report import report
from hjepa.search.study import Study
from tests.search.test_conductor import SPACE, Bench

MakeStudy = Callable[..., Study]
KEYS: dict[str, Any] = {"space": SPACE, "scheduler": {"type": "none"}}
FACTORS = {"clip": {"without": {"optim.clip_norm": None}, "with": {"optim.clip_norm": 2.0}}}


@pytest.fixture
def bench(make_study: MakeStudy, tmp_path: Path) -> Bench:
    """A search of three configurations that has run."""
    bench = Bench(make_study(**KEYS, budget={"trials": 3, "epochs": 3}), tmp_path)
    bench.finish(bench.open(), lambda trial: 0.5)
    return bench


def go_on(bench: Bench, study: Study, score: float = 0.5, **flags: int) -> int:
    """Run a study in the directory of another to its end; how many trials that took."""
    before = len(bench.executed)
    begin(bench, study, **flags)
    bench.finish(bench.open(), lambda trial: score)
    return len(bench.executed) - before


def begin(bench: Bench, study: Study, **flags: int) -> None:
    bench.study = continued(study, bench.directory, **flags)
    StudyRecords.create_or_open(bench.directory, bench.study, "data", extend=flags.get("extend"))


def test_an_extension_adds_to_the_budget_so_far_and_stays(bench: Bench, make_study: MakeStudy) -> None:
    study = bench.study
    assert go_on(bench, study, extend=2) == 2
    assert bench.study.configurations == 5
    assert go_on(bench, study) == 0
    assert bench.study.configurations == 5, "the file says three"
    assert go_on(bench, study, extend=2) == 2
    assert len(StudyRecords.open(bench.directory).trials()) == 7
    assert go_on(bench, make_study(**KEYS, budget={"trials": 8, "epochs": 3}), trials=8) == 1
    fewer = make_study(**KEYS, budget={"trials": 4, "epochs": 3})
    assert go_on(bench, fewer, trials=4) == 0, "the command line says how many there are to be"
    assert bench.study.configurations == 4


def test_the_same_extension_before_it_has_ended_is_the_same(bench: Bench) -> None:
    study = bench.study
    begin(bench, study, extend=2)
    assert continued(study, bench.directory, extend=2).configurations == 5
    conductor = bench.open()
    trial = conductor.next_trial()
    assert trial is not None
    bench.execute(conductor, trial, [0.5] * 3)
    assert continued(study, bench.directory, extend=2).configurations == 5
    assert continued(study, bench.directory, extend=3).configurations == 8, "another one"
    assert go_on(bench, study, extend=2) == 1
    assert continued(study, bench.directory, extend=2).configurations == 7


@pytest.mark.parametrize("damage", ["", '{"by": "x"}', "[]"])
def test_a_lost_memory_of_the_extension_loses_no_trial(bench: Bench, damage: str) -> None:
    study = bench.study
    go_on(bench, study, extend=1)
    (bench.directory / EXTENSION).write_text(damage)
    assert go_on(bench, study) == 0
    assert bench.study.configurations == 4


def test_seeds_that_were_added_stay_and_run_the_missing_trials_alone(bench: Bench, make_study: MakeStudy) -> None:
    more = make_study(**KEYS, budget={"trials": 3, "epochs": 3}, seeds=[0, 1])
    assert go_on(bench, more, seeds=2) == 3
    assert go_on(bench, make_study(**KEYS, budget={"trials": 3, "epochs": 3})) == 0
    assert bench.study.spec.seeds == (0, 1)
    assert [len(standing.trials) for standing in standings(StudyRecords.open(bench.directory))] == [2, 2, 2]
    with pytest.raises(ConfigError, match="seeds 1 there, not here"):
        begin(bench, make_study(**KEYS, budget={"trials": 3, "epochs": 3}), seeds=1)


def test_other_epochs_are_trials_of_their_own_and_ranked_apart(bench: Bench, make_study: MakeStudy) -> None:
    short, old = bench.study, list(bench.executed)
    for name in old[:2]:  # as an earlier version wrote them
        path = bench.directory / "trials" / name / "trial.json"
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "epochs"}))
    longer = make_study(**KEYS, budget={"trials": 3, "epochs": 5})
    assert go_on(bench, longer, score=0.3) == 3
    records = StudyRecords.open(bench.directory)
    assert not set(bench.executed[3:]) & set(old)
    assert {trial.id for trial in records.trials()} == set(bench.executed[3:])
    assert {trial.epochs for trial in records.all_trials()} == {3, 5}
    best = winner(records)
    assert best is not None
    assert best.score == 0.3, "those of three epochs score more, and cannot win"
    assert other_budgets(records) == {3: 3}
    assert "3 trials of 3 epochs stand apart" in report(records, "table")
    assert bench.sampler.told() == {0, 1, 2}, "the sampler hears of these epochs alone"
    assert go_on(bench, short) == 0
    assert {trial.id for trial in StudyRecords.open(bench.directory).trials()} == set(old)
    assert go_on(bench, short, extend=1) == 1
    assert go_on(bench, longer) == 0
    assert records.trial(old[0]).state == "completed"


def test_the_confirmation_of_other_epochs_is_another_one(make_study: MakeStudy, tmp_path: Path) -> None:
    directory = tmp_path / "study"
    design = {"design": "add_one_in", "factors": FACTORS}
    records = StudyRecords.create_or_open(directory, make_study(**KEYS, budget={"trials": 3, "epochs": 3}))
    assert folder_of(records) == directory / "confirm"
    there = make_study(budget={"epochs": 3}, space="<absent>", ablation=design)
    StudyRecords.create_or_open(folder_of(records), there)
    assert confirmed_in(records) is not None
    longer = make_study(**KEYS, budget={"trials": 3, "epochs": 5})
    records = StudyRecords.create_or_open(directory, longer)
    assert folder_of(records) == directory / "confirm-5-epochs"
    assert confirmed_in(records) is None


def test_a_plan_counts_what_has_ended_at_its_own_epochs(bench: Bench, make_study: MakeStudy) -> None:
    longer = make_study(**KEYS, budget={"trials": 3, "epochs": 5})
    cost: Any = SimpleNamespace(training=1.0, probes=1.0, start=1.0, checkpoint_bytes=1.0)
    plans = [make_plan(study, bench.directory, {"CPU": 1}) for study in (bench.study, longer)]
    assert [estimate(plan, lambda config: cost).ended for plan in plans] == [3, 0]


REFUSED: list[tuple[dict[str, int], str]] = [
    ({"extend": 0}, r"--extend: got 0; allowed at least 1"),
    ({"extend": 2, "trials": 5}, r"--extend: got 2; allowed only without --trials"),
]


@pytest.mark.parametrize(("flags", "line"), REFUSED)
def test_an_impossible_extension_is_one_line(bench: Bench, flags: dict[str, int], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        continued(bench.study, bench.directory, **flags)


def test_only_a_search_that_has_run_can_be_extended(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(**KEYS)
    assert continued(study, tmp_path) is study
    with pytest.raises(ConfigError, match=r"allowed only for a study that has run; .* holds none"):
        continued(study, tmp_path, extend=1)
    design = {"design": "add_one_in", "factors": FACTORS}
    ablation = make_study(budget={"epochs": 3}, space="<absent>", ablation=design)
    with pytest.raises(ConfigError, match=r"allowed only with a space; an ablation has --seeds"):
        continued(ablation, tmp_path, extend=1)


def test_a_refused_extension_writes_nothing(bench: Bench, make_study: MakeStudy) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in bench.directory.iterdir() if path.suffix in (".yaml", ".json")}

    before, study = files(), bench.study
    other = make_study(**{**KEYS, "space": {"optim.lr": {"log_uniform": [1e-4, 1e-3]}}})
    with pytest.raises(ConfigError, match="holds another study"):
        begin(bench, other, extend=2)
    with StudyRecords.open(bench.directory).driving(), pytest.raises(ConfigError, match="another run of this study"):
        begin(bench, study, extend=2)
    assert files() == before
