"""Claim: which score of a trial counts, the Pareto front and limits decide who wins, what the sampler is told, and what
every report, the status and the export say; each key of the study file changes something."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from hjepa.overrides import ConfigError
from hjepa.search import export
from hjepa.search.analysis import front, standings, winner
from hjepa.search.conductor import Conductor
from hjepa.search.costs import COSTS, parse_limit
from hjepa.search.goals import Goals
from hjepa.search.plan import make_plan
from hjepa.search.plan import render as render_plan
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.refusals import Refusals, refused
from hjepa.search.reports.report import report
from hjepa.search.sampler import StudySampler
from hjepa.search.status import render, status
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
RUNG, FULL = "probe_rung.top1", "probe.top1"
SCORE = {"metric": FULL, "mode": "max"}
SMALL = {"metric": "parameters", "mode": "min"}
SPACE = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}}
NUMERIC = {**SPACE, "optim.weight_decay": {"uniform": [0.0, 0.4]}}


def curve(record: TrialRecord, scores: list[float]) -> None:
    lines = [{"kind": "rung", "step": n, "epoch": n, RUNG: score} for n, score in enumerate(scores, start=1)]
    (record.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def known(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> Callable[..., StudyRecords]:
    """Three trials at full budget of falling size and score, a fourth that both beat, and one stopped early."""

    def known(**keys: Any) -> StudyRecords:
        study = make_study(space=SPACE, **keys)
        records = StudyRecords.create_or_open(tmp_path / "runs", study)
        for index, score, size in ((0, 0.5, 2e6), (1, 0.7, 4e6), (2, 0.6, 3e6), (3, 0.55, 5e6)):
            costs = {"parameters": size, "peak_memory_bytes": 1000 * size, "device_seconds": 3600.0 * (index + 1)}
            overrides = {} if index == 0 else {"optim.lr": 0.001 * (index + 1)}
            more = {"epoch": 4, "metrics": {FULL: score, RUNG: score}, "images_per_second": 100.0 / (index + 1)}
            curve(enter(records, study, index, overrides, "completed", **more, **costs), [0.9 - score, score - 0.1])
        stopped = enter(records, study, 4, {"optim.lr": 0.009}, "early_stopped", epoch=2, metrics={RUNG: 0.2})
        curve(stopped, [0.95, 0.2])
        return records

    return known


def test_by_default_only_a_trial_at_full_budget_wins(known: Callable[..., StudyRecords]) -> None:
    best = winner(known())
    assert best is not None
    assert (best.cell, best.score, best.metric) == ("c1", 0.7, FULL)


@pytest.mark.parametrize(("at", "cell", "score", "epoch"), [("best", "c4", 0.95, 1), ("last", "c1", 0.6, 2)])
def test_the_best_or_the_last_score_may_count(
    known: Callable[..., StudyRecords], tmp_path: Path, at: str, cell: str, score: float, epoch: int
) -> None:
    records = known(objective={**SCORE, "at": at})
    best = winner(records)
    assert best is not None
    assert (best.cell, best.metric) == (cell, RUNG)
    assert best.score == pytest.approx(score)
    assert best.trials[0].scored_at == epoch
    assert best.trials[0].state == ("early_stopped" if at == "best" else "completed"), "it is not called finished"
    text = report(records, "table")
    assert f"the {at} of each trial over at most 4 epochs" in text
    assert f"a trial's score is its {at} at a rung" in text
    assert json.loads(report(records, "json"))["objective"][0]["at"] == at
    export.export(records, export.select(records, None), tmp_path / "best.yaml")
    written = (tmp_path / "best.yaml").read_text()
    assert f"at epoch {epoch} (its checkpoint is of epoch" in written
    if at == "best":
        assert "state early_stopped" in written


def test_the_sampler_is_told_the_score_that_counts(make_study: MakeStudy, tmp_path: Path) -> None:
    for at, outcome in (("final_budget", "pruned"), ("best", "completed")):
        study = make_study(space=SPACE, objective={**SCORE, "at": at}, scheduler={"type": "asha", "min_trials": 1})
        records = StudyRecords.create_or_open(tmp_path / at, study)
        heard: dict[int, Any] = {}

        class Told(StudySampler):
            def tell(self, index: int, *told: Any) -> None:
                heard.setdefault(index, told)  # noqa: B023 - of this round
                super().tell(index, *told)

        sampler = Told(study.space, study.spec.sampler, trials=6, journal=records.directory / "j", goals=records.goals)
        conductor = Conductor(study, records, sampler, fingerprint=lambda config: "data", check=lambda config: None)
        trial = conductor.next_trial()
        assert trial is not None
        conductor.started(trial.id)
        curve(records.trial(trial.id), [0.4, 0.3])
        records.write_result(trial.id, "early_stopped", "by hand")
        conductor.ended(trial.id)
        assert heard[0][:2] == (outcome, None if outcome == "pruned" else 0.4)


def test_what_stopping_risked_goes_by_full_scores_whichever_score_counts(known: Callable[..., StudyRecords]) -> None:
    for at in ("final_budget", "last"):
        records = known(objective={**SCORE, "at": at}, scheduler={"type": "asha", "min_trials": 2, "grace": 0.25})
        found = json.loads(report(records, "json"))
        assert found["agreement"]["rungs"][0]["trials"] == 4
        assert found["early_stopping"]["risk"]["trials"] == 4
        shutil.rmtree(records.directory)


def test_a_plan_says_that_stopping_goes_by_the_score_alone(make_study: MakeStudy, tmp_path: Path) -> None:
    for kind, said in (("asha", True), ("none", False)):
        study = make_study(objective=[SCORE, SMALL], scheduler={"type": kind})
        text = render_plan(make_plan(study, tmp_path / "runs", {"CPU": 1}))
        assert ("by probe.top1 alone: what scores less is stopped, however cheap" in text) == said


def journal(path: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="study", storage=JournalStorage(JournalFileBackend(str(path)))).trials


def test_optuna_hears_every_objective_and_constraint(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(space=SPACE, objective=[SCORE, SMALL], constraints={"memory": "< 1 GB"})
    goals = Goals.of(study.resolved())
    sampler = StudySampler(study.space, study.spec.sampler, trials=6, journal=tmp_path / "j", goals=goals)
    for index in range(4):
        sampler.ask(index)
    sampler.tell(0, "completed", 0.5, {1: 0.4}, {"parameters": 1e6, "memory": 5e8})
    sampler.tell(1, "completed", 0.6, {1: 0.4}, {"parameters": 2e6, "memory": 2e9})
    sampler.tell(2, "pruned", None, {1: 0.1, 2: 0.3}, {"parameters": 3e6, "memory": 5e8})
    sampler.tell(3, "failed")
    told = journal(tmp_path / "j")
    assert [trial.values for trial in told] == [[0.5, 1e6], [0.6, 2e6], [0.3, 3e6], None]
    assert [trial.state for trial in told] == [TrialState.COMPLETE] * 3 + [TrialState.FAIL]
    assert told[0].constraints["memory"] < 0 < told[1].constraints["memory"] == pytest.approx(1.0)
    assert (told[1].constraints["stopped early"], told[2].constraints["stopped early"]) == (0.0, 1.0)
    assert sampler.ask(4) is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tpe", "gp", "random", "nsgaii"])
def test_a_sampler_goes_on_from_several_objectives_with_a_constraint(
    make_study: MakeStudy, tmp_path: Path, kind: str
) -> None:
    keys = {"sampler": {"type": kind}, "objective": [SCORE, SMALL], "constraints": {"memory": "< 1 GB"}}
    study = make_study(space=NUMERIC, **keys)
    goals = Goals.of(study.resolved())
    sampler = StudySampler(study.space, study.spec.sampler, trials=6, journal=tmp_path / "j", goals=goals)
    for index in range(8):
        assert sampler.ask(index) is not None
        outcome = "pruned" if index == 3 else "completed"
        facts = {"parameters": 1e6 * (index + 1), "memory": 4e8 * index}
        sampler.tell(index, outcome, 0.1 * index if outcome == "completed" else None, {1: 0.2}, facts)  # type: ignore[arg-type]
    assert len(sampler.told()) == 8


def test_the_front_is_of_all_objectives_and_the_winner_of_the_first(
    known: Callable[..., StudyRecords], tmp_path: Path
) -> None:
    records = known(objective=[SCORE, SMALL])
    ranking = standings(records)
    assert [standing.cell for standing in front(ranking, records.goals)] == ["c1", "c2", "baseline"]
    best = winner(records)
    assert best is not None
    assert best.cell == "c1"
    found = json.loads(report(records, "json"))
    assert [entry["metric"] for entry in found["objective"]] == [FULL, "parameters"]
    assert [entry["cell"] for entry in found["goals"]["front"]] == ["c1", "c2", "baseline"]
    assert {entry["cell"] for entry in found["configurations"] if entry["front"]} == {"c1", "c2", "baseline"}
    for style in ("table", "markdown", "latex"):
        text = report(records, style)  # type: ignore[arg-type]
        assert "4,000,000 parameters" in text
        assert "the winner is the one of them with the best" in text
    assert "Pareto front c1 (0.7000, 4,000,000 parameters)" in render(status(records))
    assert [trial.cell for trial in export.on_front(records)] == ["c1", "c2", "baseline"]


def test_other_costs_make_other_fronts(known: Callable[..., StudyRecords]) -> None:
    records = known(objective=[SCORE, {"metric": "device_hours", "mode": "min"}])
    assert [standing.cell for standing in front(standings(records), records.goals)] == ["c1", "baseline"]


def test_one_objective_has_no_front_to_export(known: Callable[..., StudyRecords]) -> None:
    with pytest.raises(ConfigError, match="has one objective, so no Pareto front"):
        export.on_front(known())


@pytest.mark.parametrize(
    ("constraints", "cell"),
    [
        ({"parameters": "< 4e6"}, "c2"),
        ({"parameters": "<= 4e6"}, "c1"),
        ({"memory": "< 2.5 GB"}, "baseline"),
        ({"memory": "< 3 GiB"}, "c2"),
        ({"device_hours": "<= 1"}, "baseline"),
        ({"images_per_second": "> 99"}, "baseline"),
        ({"parameters": "> 4500000"}, "c3"),
        ({"parameters": "< 10"}, None),
    ],
)
def test_what_is_beyond_a_limit_is_shown_and_cannot_win(
    known: Callable[..., StudyRecords], constraints: dict[str, str], cell: str | None
) -> None:
    records = known(constraints=constraints)
    best = winner(records)
    assert (best.cell if best is not None else None) == cell
    shown = status(records)
    assert (shown["best"] or {}).get("cell") == (cell or "c4"), "before any may win, the best at a rung"
    beyond = [standing.cell for standing in standings(records) if standing.broken]
    found = json.loads(report(records, "json"))
    assert [entry["cell"] for entry in found["goals"]["infeasible"]] == beyond
    if cell is None:
        assert "every configuration is beyond a constraint: nothing is selected" in report(records, "table")
        with pytest.raises(ConfigError, match="every configuration is beyond a constraint"):
            export.select(records, None)
    if beyond:
        assert f"infeasible   {beyond[0]} (" in render(shown)


def test_memory_is_said_in_the_unit_of_its_limit(known: Callable[..., StudyRecords]) -> None:
    records = known(constraints={"memory": "< 3 GB"})
    assert "4 GB of memory, allowed < 3 GB" in report(records, "table")


def test_a_cost_that_was_not_measured_keeps_no_limit(known: Callable[..., StudyRecords]) -> None:
    records = known(constraints={"memory": "< 9 TB"})
    trial = records.trials()[1]
    path = trial.directory / "result.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "peak_memory_bytes"}))
    best = winner(records)
    assert best is not None
    assert best.cell == "c2"
    assert "memory not measured, allowed < 9 TB" in report(records, "table")


def test_a_proposal_with_too_many_parameters_does_not_run(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(space=SPACE, constraints={"parameters": "< 1000"}, budget={"trials": 4, "epochs": 2})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    sampler = StudySampler(study.space, study.spec.sampler, trials=4, journal=tmp_path / "j", goals=records.goals)
    refusals = Refusals(records, lambda config: 2000 if config.optim.lr > 0.0005 else 500)
    conductor = Conductor(
        study, records, sampler, fingerprint=lambda config: "data", check=lambda config: None, refusals=refusals
    )
    trials = []
    while (trial := conductor.next_trial()) is not None:
        trials.append(trial)
        conductor.started(trial.id)
        records.write_result(trial.id, "completed", metrics={FULL: 0.5})
        conductor.ended(trial.id)
    assert [trial.index for trial in trials] == [0, 1, 2, 3], "the baseline runs, as all is compared with it"
    assert all(trial.overrides["optim.lr"] <= 0.0005 for trial in trials[1:])
    known = refused(records.directory)
    assert known
    assert all(line["overrides"]["optim.lr"] > 0.0005 for line in known)
    assert "refused before they ran: " in report(records, "table")
    assert f"refused      {len(known)} proposal" in render(status(records))


def test_where_nothing_fits_the_study_says_why(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(space=SPACE, constraints={"parameters": "< 1000"}, sampler={"type": "random"})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    sampler = StudySampler(study.space, study.spec.sampler, trials=4, journal=tmp_path / "j", goals=records.goals)
    refusals = Refusals(records, lambda config: 2000)
    conductor = Conductor(
        study, records, sampler, fingerprint=lambda config: "data", check=lambda config: None, refusals=refusals
    )
    first = conductor.next_trial()
    assert first is not None
    assert conductor.next_trial() is None
    assert "constraints.parameters: 2,000 parameters; allowed < 1000" in str(conductor.exhausted)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"objective": {"metric": "parameters", "mode": "min"}}, "objective: got [parameters]; allowed a score"),
        ({"objective": {"metric": "probe.top2"}}, "objective.metric: got probe.top2; allowed probe.top1, knn.top1"),
        ({"objective": {**SCORE, "at": "first"}}, "objective.at: got first; allowed final_budget, best or last"),
        ({"objective": {**SCORE, "mode": "min"}}, "objective.mode: got min; allowed max for probe.top1"),
        ({"objective": [SCORE, {"metric": "memory"}]}, "objective.1.mode: got max; allowed min for memory"),
        ({"objective": [SCORE, {**SMALL, "at": "best"}]}, "objective.1.at: allowed only for a score"),
        ({"objective": [SMALL, SCORE]}, "allowed a score, then different ones of device_hours"),
        ({"objective": [SCORE, SMALL, SMALL]}, "allowed a score, then different ones of device_hours"),
        ({"objective": []}, "objective: got []; allowed a score"),
        (
            {"constraints": {"memory": "< 8"}},
            "constraints.memory: got < 8; allowed <, <=, > or >= and a number above 0",
        ),
        ({"constraints": {"parameters": "3e6"}}, "constraints.parameters: got 3e6; allowed"),
        ({"constraints": {"parameters": "< 3e400"}}, "constraints.parameters: got < 3e400; allowed"),
        ({"constraints": {"device_hours": "< 1 h"}}, "constraints.device_hours: got < 1 h; allowed"),
        ({"constraints": {"speed": "> 1"}}, "constraints.speed: unknown key; allowed memory, parameters"),
        ({"sampler": {"type": "nsgaii"}}, "sampler.type: got nsgaii; allowed only with several objectives"),
        (
            {"sampler": {"type": "cmaes"}, "objective": [SCORE, SMALL], "space": NUMERIC},
            "sampler.type: got cmaes; allowed tpe, gp, random or grid with several objectives",
        ),
        (
            {"sampler": {"type": "cmaes"}, "constraints": {"parameters": "< 9"}, "space": NUMERIC},
            "sampler.type: got cmaes; allowed tpe, gp, random or grid with constraints",
        ),
        ({"warm_start": ["."], "objective": [SCORE, SMALL]}, "warm_start: allowed only without several objectives"),
        (
            {"warm_start": ["."], "constraints": {"memory": "< 8 GB"}},
            "warm_start: allowed only without constraints",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(make_study: MakeStudy, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_study(**{"space": SPACE, **keys})
    assert said in str(error.value), str(error.value)
    assert len(error.value.problems) == 1


def test_an_ablation_has_one_objective_at_full_budget(make_study: MakeStudy) -> None:
    factors = {"layer_scale": {"without": {"model.layer_scale": None}, "with": {"model.layer_scale": 1.0e-4}}}
    tree = {"space": "<absent>", "budget": {"epochs": 2}, "ablation": {"design": "leave_one_out", "factors": factors}}
    with pytest.raises(ConfigError) as error:
        make_study(**tree, objective=[{**SCORE, "at": "last"}, SMALL], constraints={"parameters": "< 9"})
    assert [line.split(":")[0] for line in error.value.problems] == ["objective", "objective.at", "constraints"]


@pytest.mark.parametrize("name", sorted(COSTS))
def test_a_limit_is_beyond_exactly_where_it_is_not_met(name: str) -> None:
    unit = " MB" if name == "memory" else ""
    for comparison, below, at, above in (("<", 1, 0, 0), ("<=", 1, 1, 0), (">", 0, 0, 1), (">=", 0, 1, 1)):
        limit = parse_limit(name, f"{comparison} 10{unit}")
        for factor, met in ((0.5, below), (1.0, at), (2.0, above)):
            value = limit.value * factor
            assert limit.met(value) == bool(met)
            assert (limit.excess(value) > 0) != bool(met), "as Optuna reads it: above 0 is beyond"


def test_studies_with_other_goals_are_other_studies(make_study: MakeStudy, tmp_path: Path) -> None:
    StudyRecords.create_or_open(tmp_path / "runs", make_study(objective=SCORE))
    StudyRecords.create_or_open(tmp_path / "runs", make_study(objective=[{**SCORE, "at": "final_budget"}]))
    for keys in (
        {"objective": {**SCORE, "at": "best"}},
        {"objective": [SCORE, SMALL]},
        {"constraints": {"parameters": "< 9"}},
    ):
        with pytest.raises(ConfigError, match="holds another study"):
            StudyRecords.create_or_open(tmp_path / "runs", make_study(**keys))  # type: ignore[arg-type]


def test_a_study_file_is_read_back_from_its_record(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(objective=[{**SCORE, "at": "best"}, SMALL], constraints={"memory": "< 8 GB"})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    again = Study.load(records.directory / "study.yaml")
    assert again.resolved() == study.resolved()
    assert (
        Goals.of(again.resolved())
        == records.goals
        == Goals(FULL, "best", ("parameters",), (parse_limit("memory", "< 8 GB"),))
    )
