"""Claim: an ablation runs its fixed cells on the same seeds, one configuration once; more seeds run only what is
missing; a path goes where the scores say; and the report's comparisons are the paired differences of the records."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from hjepa.runtime.files import write_json
from hjepa.search.ablation.cells import FixedCells
from hjepa.search.ablation.comparisons import compare
from hjepa.search.ablation.outline import lines
from hjepa.search.ablation.power import seeds_for
from hjepa.search.conductor import Conductor
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import report
from hjepa.search.study import Study

FACTORS: dict[str, Any] = {
    "scale": {"without": {"model.layer_scale": None}, "with": {"model.layer_scale": 1e-4}},
    "slow": {"without": {}, "with": {"optim.lr": 1e-4}},
}
SEEDS = [0, 1, 2, 3]
Score = Callable[[TrialRecord], float | None]


class Bench:
    """A study in a directory, and trials that end with given scores without training anything."""

    def __init__(self, make_study: Callable[..., Study], directory: Path) -> None:
        self.make_study, self.directory = make_study, directory
        self.executed: list[str] = []

    def run(self, score: Score, design: str = "leave_one_out", seeds: list[int] | None = None, **keys: Any) -> Study:
        """Run what is asked and not there; a score of None is a failure."""
        claims = keys.pop("claims", [])
        spec = {"design": design, "factors": FACTORS, **keys}
        seeds = SEEDS if seeds is None else seeds
        study = self.make_study(space="<absent>", budget={"epochs": 2}, ablation=spec, claims=claims, seeds=seeds)
        self.records = StudyRecords.create_or_open(self.directory, study, "data")
        assert study.design is not None
        cells = FixedCells(study.design, self.records.metric, self.records.trials)
        self.conductor = Conductor(
            study, self.records, cells, fingerprint=lambda config: "data", check=lambda config: None
        )
        self.executed = []
        while (trial := self.conductor.next_trial()) is not None:
            self.executed.append(f"{trial.cell} {trial.seed}")
            self.end(trial, score(trial))
        return study

    def end(self, trial: TrialRecord, score: float | None) -> None:
        self.conductor.started(trial.id)
        if score is None:
            self.conductor.failed(trial.id, "ValueError: boom")
            return
        content = {"state": "completed", "reason": None, "epoch": 2, "rung": 0, "metrics": {"probe.top1": score}}
        write_json(trial.directory / "result.json", {**content, "floor": {"probe.top1": 0.2}})
        write_json(trial.directory / "test.json", {"test.probe.top1": score - 0.01 * trial.index})
        self.conductor.ended(trial.id)


@pytest.fixture
def bench(make_study: Callable[..., Study], tmp_path: Path) -> Bench:
    return Bench(make_study, tmp_path / "out")


def by_cell(trial: TrialRecord) -> float:
    """Every seed shifts all cells alike, but for a little."""
    worth = {"full": 0.60, "without_scale": 0.57, "without_slow": 0.605}[trial.cell]
    return worth + 0.05 * (trial.seed % 3) + 0.001 * ((trial.seed + 1) * (trial.index + 1) % 5)


def test_every_cell_runs_on_every_seed_once(bench: Bench) -> None:
    bench.run(by_cell)
    assert bench.executed == [f"{c} {s}" for c in ("full", "without_scale", "without_slow") for s in SEEDS]
    assert bench.conductor.finished
    bench.run(by_cell)
    assert bench.executed == []


def test_more_seeds_run_the_missing_trials_alone(bench: Bench) -> None:
    bench.run(by_cell, seeds=[0, 1])
    bench.run(by_cell, seeds=[0, 1, 2])
    assert bench.executed == ["full 2", "without_scale 2", "without_slow 2"]


def test_claims_and_margin_may_change_without_another_study(bench: Bench) -> None:
    bench.run(by_cell)
    claim = {"factor": "scale", "effect": [0.5, 1.0], "source": "somebody"}
    bench.run(by_cell, margin=0.5, seed_sd=2.0, claims=[claim])
    assert bench.executed == []


def test_a_configuration_under_two_names_runs_once(bench: Bench) -> None:
    both = {"levels": {"x": {}, "y": {"optim.lr": 2e-4}, "z": {"optim.lr": 3e-4}}}
    same = {"levels": {"x": {}, "y": {"optim.weight_decay": 0.5}}}
    study = bench.run(lambda trial: 0.5, design="one_at_a_time", factors={"a": both, "b": same}, seeds=[0])
    assert len(bench.executed) == study.configurations == 4


def test_comparisons_are_the_paired_differences_of_the_records(bench: Bench) -> None:
    bench.run(by_cell)
    scale = compare(bench.records)[0]
    scores = {(trial.cell, trial.seed): trial.score for trial in bench.records.trials()}
    with_it = [100 * (scores["full", seed] or 0) for seed in SEEDS]
    without = [100 * (scores["without_scale", seed] or 0) for seed in SEEDS]
    expected = stats.ttest_rel(with_it, without)
    limits = expected.confidence_interval(0.95)
    assert scale.effect.seeds == tuple(SEEDS)
    assert scale.effect.mean == pytest.approx(sum(with_it) / 4 - sum(without) / 4, abs=1e-9)
    assert scale.effect.p == pytest.approx(expected.pvalue, rel=1e-8)
    assert scale.effect.interval is not None
    assert (scale.effect.interval.low, scale.effect.interval.high) == pytest.approx((limits.low, limits.high))
    assert scale.test is not None
    assert scale.test.mean == pytest.approx((scale.effect.mean or 0) + 1.0), "each cell lost a point more on test"


def test_the_verdict_of_a_claim_and_how_a_failed_trial_is_shown(bench: Bench) -> None:
    def one_fails(trial: TrialRecord) -> float | None:
        return None if (trial.cell, trial.seed) == ("without_slow", 3) else by_cell(trial)

    claims = [
        {"factor": "scale", "effect": [1.0, 2.0], "source": "somebody"},
        {"factor": "slow", "effect": [2.0, 3.0], "source": "somebody"},
    ]
    bench.run(one_fails, claims=claims)
    rows = {row["name"]: row for row in json.loads(report(bench.records, "json"))["comparisons"]}
    assert rows["scale"]["claims"][0]["verdict"] == "supported"
    assert rows["slow"]["claims"][0]["verdict"] in ("contradicted", "smaller than claimed")
    assert rows["slow"]["seeds"] == [0, 1, 2]
    assert rows["slow"]["missing"] == [{"seed": 3, "side": "without", "state": "without_slow failed"}]
    for style in ("table", "markdown"):
        text = report(bench.records, style)  # type: ignore[arg-type]
        assert "at this scale" in text
        assert "slow: seed 3 without: without_slow failed" in text
        assert "supported" in text
        assert f"{rows['scale']['effect']:+.2f}" in text
    found = {row["name"]: row for row in csv.DictReader(io.StringIO(report(bench.records, "csv")))}
    assert float(found["scale"]["effect"]) == rows["scale"]["effect"]


def test_the_test_split_is_not_read_before_all_have_ended(bench: Bench) -> None:
    study = bench.run(by_cell, seeds=[0, 1])
    first = bench.records.trials()[0]
    (first.directory / "result.json").unlink()
    assert all(row.test is None for row in compare(bench.records))
    assert study.design is not None


def test_one_seed_concludes_nothing(bench: Bench) -> None:
    bench.run(by_cell, seeds=[0])
    (row, _) = compare(bench.records)
    assert (row.effect.p, row.row.significant, row.row.star) == (None, None, "")
    assert "one seed" in row.row.words


def test_labels_of_an_a_a_study_are_paired_by_the_seed_they_are_shifted_from(bench: Bench) -> None:
    def score(trial: TrialRecord) -> float:
        return 0.5 + 0.01 * (trial.seed % 7)

    bench.run(score, design="a_a", factors={})
    assert len(bench.executed) == 2 * len(SEEDS)
    (row,) = compare(bench.records)
    assert row.effect.seeds == tuple(SEEDS)
    shifted = [(10_000 + seed) % 7 - seed % 7 for seed in SEEDS]
    assert row.effect.differences == pytest.approx(shifted)


THREE = {**FACTORS, "decay": {"without": {}, "with": {"optim.weight_decay": 0.5}}}
WORTH = {"scale": 0.01, "slow": 0.05, "decay": -0.02}


def additive(trial: TrialRecord) -> float:
    return 0.5 + sum(WORTH.get(name, 0.0) for name in trial.cell.split("+")) + 0.001 * (trial.seed * trial.index % 3)


def test_a_path_keeps_the_best_factor_of_each_step(bench: Bench) -> None:
    study = bench.run(additive, design="path", factors=THREE)
    cells = list(dict.fromkeys(trial.cell for trial in bench.records.trials()))
    assert cells == ["start", "scale", "slow", "decay", "slow+scale", "slow+decay", "slow+scale+decay"]
    assert len(cells) == study.configurations == 7
    rows = {row.comparison.name: row for row in compare(bench.records)}
    assert list(rows) == ["slow", "scale", "decay", "all"]
    assert rows["decay"].comparison.subtrahend == ("slow+scale",)
    assert rows["slow"].effect.mean == pytest.approx(5.0, abs=0.3)


def test_a_path_waits_for_its_step_and_stays_where_it_went(bench: Bench) -> None:
    bench.run(additive, design="path", factors=THREE, seeds=[0])

    def reversed_later(trial: TrialRecord) -> float:
        return additive(trial) if trial.seed == 0 else 1.0 - additive(trial)

    bench.run(reversed_later, design="path", factors=THREE, seeds=[0, 1])
    assert len(bench.executed) == 7, "the second seed of the same cells"
    assert {trial.cell for trial in bench.records.trials()} >= {"slow+scale", "slow+decay"}


def test_a_path_ends_where_no_candidate_has_a_score(bench: Bench) -> None:
    bench.run(lambda trial: 0.5 if trial.cell == "start" else None, design="path", factors=THREE, seeds=[0])
    assert bench.conductor.exhausted is not None
    assert "the path ends here" in bench.conductor.exhausted


def test_a_path_that_ends_before_its_goal_has_its_steps_on_test(bench: Bench) -> None:
    bench.run(lambda trial: None if "+" in trial.cell else additive(trial), design="path", factors=THREE)
    assert bench.conductor.exhausted is not None
    (row,) = compare(bench.records)
    assert row.comparison.name == "slow" and row.test is not None
    assert row.test.seeds == tuple(SEEDS)


def test_a_path_that_is_not_decided_yet_is_waited_for(bench: Bench) -> None:
    bench.run(lambda trial: 0.5, design="path", factors=THREE, seeds=[0])
    last = bench.records.trials()[3]
    for trial in bench.records.trials()[4:]:
        for file in trial.directory.iterdir():
            file.unlink()
    (last.directory / "result.json").unlink()
    cells = FixedCells(_design(bench), bench.records.metric, bench.records.trials)
    assert cells.ask(4) is None
    assert cells.ended is None


def _design(bench: Bench) -> Any:
    return Study.load(bench.directory / "study.yaml").design


def test_the_plan_says_cells_comparisons_claims_and_what_can_be_found(bench: Bench, tmp_path: Path) -> None:
    claim = {"factor": "scale", "effect": [0.5, 1.0], "source": "somebody"}
    study = bench.run(by_cell, seed_sd=2.0, claims=[claim])
    stated = "\n".join(lines(study, tmp_path / "nowhere"))
    assert "sd 2 points over seeds, as stated" in stated
    assert "full: model.layer_scale=0.0001, optim.lr=0.0001; shared by 2 comparisons" in stated
    assert "scale: full - without_scale; detectable from " in stated
    assert "Holm over 2 rows" in stated
    needed = seeds_for(0.5, 2.0 * 2**0.5, rows=2)
    assert f"scale: +0.5 to +1 points (somebody); +0.5 takes {needed} seeds" in stated
    measured = "\n".join(lines(study, bench.directory))
    assert "measured on paired differences (2 comparisons, at most 4 seeds)" in measured
