"""What trials say together reaches every report: models of factorial designs, the worth of pairing, early stopping.

Where nothing can be concluded a report has words, and no star.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import stats

from hjepa.runtime.files import write_json
from hjepa.search.ablation.statistics import pairing
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports import figure_scores
from hjepa.search.reports.report import content, report
from hjepa.search.study import Study

pytestmark = pytest.mark.slow

FACTORS: dict[str, Any] = {
    "scale": {"without": {"model.layer_scale": None}, "with": {"model.layer_scale": 1e-4}},
    "slow": {"without": {}, "with": {"optim.lr": 1e-4}},
    "decay": {"without": {}, "with": {"optim.weight_decay": 0.5}},
    "heads": {"without": {}, "with": {"optim.warmup": 0.25}},
}
WORTH = {"scale": 2.0, "slow": -1.0, "decay": 0.0, "heads": 0.0}
#: A score in points, or the state in which a trial without one ended.
End = float | str
Ablation = Callable[..., StudyRecords]


@pytest.fixture
def ablation(make_study: Callable[..., Study], tmp_path: Path) -> Ablation:
    """The records of an ablation whose trials ended as `end(cell, seed)` says."""

    def ablation(end: Callable[[str, int], End], seeds: int = 4, count: int = 3, **keys: Any) -> StudyRecords:
        more = {"seeds": list(range(seeds)), "claims": keys.pop("claims", [])}
        spec = {"design": "leave_one_out", "factors": dict(list(FACTORS.items())[:count]), **keys}
        study = make_study(space="<absent>", budget={"epochs": 2}, ablation=spec, **more)
        records = StudyRecords.create_or_open(tmp_path / "runs", study, "data")
        assert study.design is not None
        for index, cell in enumerate(study.design.cells):
            for seed in study.seeds(index):
                name = f"{index:016x}"
                folder = records.folder(f"{name[-10:]}-s{seed}")
                overrides = study.design.overrides(cell)
                trial = TrialRecord(folder.name, index, name, cell.name, seed, overrides, "pending", folder)
                records.write_trial(trial)
                ended = end(cell.name, seed % 10_000)
                result: dict[str, Any] = {"state": ended, "reason": "why", "epoch": 1, "metrics": {}, "rung": 0}
                if not isinstance(ended, str):
                    metrics = {"probe.top1": ended / 100}
                    result |= {"state": "completed", "reason": None, "epoch": 2, "metrics": metrics}
                write_json(folder / "result.json", result)
        return records

    return ablation


def noise(cell: str, seed: int) -> float:
    """The same for the same cell and seed."""
    return 0.2 * float(np.random.default_rng([zlib.crc32(cell.encode()), seed]).standard_normal())


def modelled(cell: str, seed: int) -> float:
    """50 points, a part of the seed, half an interaction of scale and slow, and what each factor is worth."""
    there = list(WORTH) if cell == "full" else cell.split("+")
    if cell.startswith("without_"):
        there = [name for name in WORTH if cell != f"without_{name}"]
    both = 1.5 / 2 * (1 if ("scale" in there) == ("slow" in there) else -1)
    return 50 + 3 * (seed % 3) + both + sum(WORTH[name] for name in there if name in WORTH) + noise(cell, seed)


def starred(text: str) -> list[str]:
    """Rows of Markdown tables with a star."""
    return [line for line in text.splitlines() if line.startswith("|") and "*" in line]


def test_a_factorial_design_reports_its_model(ablation: Ablation) -> None:
    records = ablation(modelled, design="factorial")
    found = content(records)["factorial"]
    terms = {term["name"]: term for term in found["terms"]}
    assert list(terms) == ["scale", "slow", "decay", "scale:slow", "scale:decay", "slow:decay"]
    for name, value in {**WORTH, "scale:slow": 1.5}.items():
        if name in terms:
            assert terms[name]["effect"] == pytest.approx(value, abs=0.25)
            assert terms[name]["significant"] == (value != 0)
    frame = DataFrame(
        [
            {"score": 100 * (trial.score or 0), "seed": trial.seed}
            | {name: 1 if name in trial.cell.split("+") else -1 for name in FACTORS}
            for trial in records.trials()
        ]
    )
    fit = smf.ols("score ~ C(seed) + (scale + slow + decay) ** 2", frame).fit()
    for name, term in terms.items():
        limits = 2 * fit.conf_int().loc[name]
        assert (term["effect"], term["p"]) == pytest.approx((2 * fit.params[name], fit.pvalues[name]), abs=1e-8)
        assert (term["low"], term["high"]) == pytest.approx(tuple(limits), abs=1e-8)
    assert found["freedom"] == fit.df_resid
    for style in ("table", "markdown"):
        text = report(records, style)  # type: ignore[arg-type]
        assert f"{terms['scale:slow']['effect']:+.2f}" in text and "each adds to the other's effect" in text
    lines = [row for row in csv.DictReader(io.StringIO(report(records, "csv"))) if row["kind"] == "term"]
    assert {row["name"]: float(row["effect"]) for row in lines} == {n: term["effect"] for n, term in terms.items()}


def test_a_fraction_reports_its_aliases(ablation: Ablation) -> None:
    records = ablation(modelled, count=4, design="fractional_factorial")
    terms = {term["name"]: term for term in content(records)["factorial"]["terms"]}
    assert terms["scale:slow"]["aliases"] == ["decay:heads"]
    assert terms["scale:slow"]["effect"] == pytest.approx(1.5, abs=0.3)
    assert "| decay:heads |" in report(records, "markdown")
    for style in ("table", "markdown"):
        text = report(records, style)  # type: ignore[arg-type]
        assert "8 of 16 combinations; resolution IV" in text
        assert "aliased (one estimate for all of them): scale:slow = decay:heads" in text
    lines = {row["name"]: row["difference"] for row in csv.DictReader(io.StringIO(report(records, "csv")))}
    assert lines["scale"] == "model: scale + slow:decay:heads"


def test_other_designs_have_no_model(ablation: Ablation) -> None:
    assert content(ablation(modelled))["factorial"] is None


def test_more_levels_than_two_have_words(ablation: Ablation) -> None:
    levels = {"rate": {"levels": {"a": {}, "b": {"optim.lr": 2e-4}, "c": {"optim.lr": 3e-4}}}}
    records = ablation(lambda cell, seed: 50 + noise(cell, seed), design="factorial", factors=levels)
    assert content(records)["factorial"]["terms"] == []
    assert "rate has more than two levels" in report(records, "table")


def test_what_pairing_was_worth_is_one_line(ablation: Ablation) -> None:
    records = ablation(modelled, seeds=6)
    cells: dict[str, dict[int, float]] = {}
    for trial in records.trials():
        cells.setdefault(trial.cell, {})[trial.seed] = 100 * (trial.score or 0)
    expected, found = pairing(cells), content(records)["pairing"]
    assert expected.ratio is not None and expected.interval is not None
    assert found["ratio"] == pytest.approx(expected.ratio)
    assert (found["cells"], found["seeds"]) == (4, list(range(6)))
    line = (
        f"is {found['ratio']:.2f} of that with unpaired ones (95 % interval {found['low']:.2f} to {found['high']:.2f}"
    )
    for style in ("table", "markdown"):
        text = report(records, style)  # type: ignore[arg-type]
        assert text.count(line) == 1 and "pairing helped" in text


def test_the_other_tests_stand_beside_the_t_test(ablation: Ablation) -> None:
    few = ablation(modelled, seeds=5, margin=1.5)
    assert "below 6 seeds the exact sign-flip test cannot reach 0.05 (its floor here: 0.0625)" in report(few, "table")
    many = ablation(modelled, seeds=10, margin=1.5)
    decay = content(many)["comparisons"][2]
    low, high = decay["bootstrap"]
    text = report(many, "markdown")
    assert decay["bootstrap_coverage"] == 0.90 and f"{low:+.2f} to {high:+.2f} | 0.90 | ±1.5" in text
    assert f"| {decay['p_sign_flip']:.4f} | {2 / 2**10:.4f} | {decay['p_wilcoxon']:.4f} |" in text
    assert decay["conclusion"] == "no effect beyond ±1.5" and decay["p_equivalent"] < 0.05
    assert "cannot reach 0.05" not in text


def test_labels_of_an_a_a_study_share_no_seed(ablation: Ablation) -> None:
    records = ablation(lambda cell, seed: 50 + noise(cell, seed), design="a_a", factors={})
    assert "share no seed" in content(records)["pairing"]["cannot"]
    text = report(records, "markdown")
    assert "label n runs on the study's seeds + 10000 n" in text and "on the same seeds" not in text
    (axes,) = figure_scores.effects(content(records)).axes  # type: ignore[union-attr]
    assert "a label minus the first" in axes.get_xlabel()


def test_no_p_value_is_printed_as_nothing(ablation: Ablation) -> None:
    records = ablation(modelled, seeds=8)
    assert content(records)["comparisons"][0]["p_holm"] < 0.00005
    text = report(records, "markdown")
    assert "| <0.0001* |" in text and "0.0000" not in text
    assert "\\textless{}0.0001{*}" in report(records, "latex")


def test_the_reader_is_told_who_claims_what_and_what_is_corrected(ablation: Ablation) -> None:
    claims = [{"factor": "scale", "effect": [low, 4.0], "source": f"page {low}"} for low in (1.0, 2.0)]
    records = ablation(modelled, claims=claims)
    for style in ("table", "markdown", "latex"):
        text = report(records, style)  # type: ignore[arg-type]
        assert "after Holm" in text and "correction over 3 tests" in text
        assert "claimed of scale: +1 to +4 (page 1.0)" in text and "claimed of scale: +2 to +4 (page 2.0)" in text
        assert "not corrected for the number of rows" in text and "too sure" not in text


def test_who_adds_seeds_because_of_a_verdict_is_warned(ablation: Ablation) -> None:
    claims = [{"factor": "decay", "effect": [0.1, 0.2], "source": "somebody"}]
    records = ablation(modelled, seeds=2, claims=claims)
    assert content(records)["comparisons"][2]["claims"][0]["more_seeds"] > 0
    assert "seeds that are added because of this table make" in report(records, "markdown")


def test_one_seed_has_words_and_no_star(ablation: Ablation) -> None:
    records = ablation(lambda cell, seed: 80.0 if cell == "full" else 20.0, seeds=1)
    found = content(records)
    for row in found["comparisons"]:
        assert (row["p"], row["significant"], row["low"], row["p_sign_flip"]) == (None,) * 4
        assert "one seed" in row["conclusion"]
    assert found["pairing"]["ratio"] is None and found["pairing"]["cannot"]
    assert starred(report(records, "markdown")) == []


def test_no_variation_has_words_and_no_star(ablation: Ablation) -> None:
    def same(cell: str, seed: int) -> float:
        return {"full": 60.0, "without_scale": 60.0, "without_slow": 58.0}.get(cell, 40.0) + seed

    records = ablation(same)
    found = {row["name"]: row for row in content(records)["comparisons"]}
    assert "equal at every seed" in found["scale"]["conclusion"]
    assert "same at every seed" in found["slow"]["conclusion"]
    assert all(row["significant"] is None for row in found.values())
    assert "do not vary" in content(records)["pairing"]["cannot"]
    assert starred(report(records, "markdown")) == []


def test_a_factorial_model_without_error_has_no_star(ablation: Ablation) -> None:
    records = ablation(lambda cell, seed: 50.0 + 2 * ("scale" in cell), design="factorial")
    terms = content(records)["factorial"]["terms"]
    assert all(term["significant"] is None and term["p"] is None for term in terms)
    assert terms[0]["effect"] == pytest.approx(2.0) and "no test" in terms[0]["conclusion"]
    assert starred(report(records, "markdown")) == []


@pytest.mark.parametrize("state", ["failed", "diverged", "collapsed", "out_of_memory", "preempted", "early_stopped"])
def test_a_cell_that_never_ends_well_is_shown(ablation: Ablation, state: str) -> None:
    def lost(cell: str, seed: int) -> End:
        return state if cell == "without_slow" else modelled(cell, seed)

    records = ablation(lost)
    found = {row["name"]: row for row in content(records)["comparisons"]}
    assert found["slow"]["effect"] is None and found["slow"]["significant"] is None
    assert "no seed has both scores" in found["slow"]["conclusion"]
    assert [gap["state"] for gap in found["slow"]["missing"]] == [f"without_slow {state}"] * 4
    assert found["scale"]["p"] is not None, "other rows stand"
    assert content(records)["pairing"]["cells"] == 3
    text = report(records, "markdown")
    assert not any("| slow |" in line for line in starred(text))
    assert f"slow: seed 3 without: without_slow {state}" in text
    assert f"12 completed, 4 {state}" in text
    for style in ("table", "csv"):
        assert f"without_slow {state}" in report(records, style)  # type: ignore[arg-type]


def test_a_failed_cell_of_a_factorial_design_is_shown(ablation: Ablation) -> None:
    def lost(cell: str, seed: int) -> End:
        return "failed" if cell == "scale+slow" else modelled(cell, seed)

    records = ablation(lost, design="factorial")
    found = content(records)["factorial"]
    assert {gap["cell"] for gap in found["missing"]} == {"scale+slow"} and len(found["missing"]) == 4
    assert "scale+slow seed 0: failed" in report(records, "table")


def test_a_study_without_any_score_is_reported(ablation: Ablation) -> None:
    records = ablation(lambda cell, seed: "failed", design="factorial")
    for style in ("table", "markdown", "csv", "json"):
        report(records, style)  # type: ignore[arg-type]
    found = content(records)
    assert all(term["conclusion"] == "no trial has a score" for term in found["factorial"]["terms"])
    assert found["pairing"]["cannot"] and found["early_stopping"]["stopped"] == 0
    assert starred(report(records, "markdown")) == []


@pytest.fixture
def search(make_study: Callable[..., Study], enter: Callable[..., TrialRecord], tmp_path: Path) -> StudyRecords:
    """Nine trials of 9 epochs with rungs after 1 and 3: six to the end, two stopped, one diverged."""
    study = make_study(budget={"trials": 9, "epochs": 9}, scheduler={"type": "asha", "grace": 0.1})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    ends = [("completed", 9)] * 6 + [("early_stopped", 1), ("early_stopped", 3), ("diverged", 2)]
    for index, (state, epoch) in enumerate(ends):
        early = [0.30, 0.10, 0.20, 0.50, 0.40, 0.60, 0.0, 0.05, 0.9][index]
        metrics = {"probe_rung.top1": early} | ({"probe.top1": 0.5 + 0.01 * index} if epoch == 9 else {})
        overrides = {"optim.lr": 0.001 * (1 + index)} if index else {}
        trial = enter(records, study, index, overrides, state, epoch=epoch, metrics=metrics)
        lines = [
            {"kind": "rung", "epoch": at, "step": at, "probe_rung.top1": early if at == 1 else 0.5 + 0.01 * index}
            for at in range(1, epoch + 1)
        ]
        (trial.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return records


def test_rungs_are_compared_with_the_end(search: StudyRecords) -> None:
    found = content(search)["agreement"]
    first, second = found["rungs"]
    expected = stats.spearmanr([0.30, 0.10, 0.20, 0.50, 0.40, 0.60], range(6)).statistic
    assert (first["epoch"], first["trials"], first["spearman"]) == (1, 6, pytest.approx(expected))
    assert (second["epoch"], second["spearman"], second["best_kept"]) == (3, pytest.approx(1.0), True)
    for style in ("table", "markdown"):
        text = report(search, style)  # type: ignore[arg-type]
        assert f"{expected:+.2f} at epoch 1, +1.00 at epoch 3" in text
        assert "of the trials that were stopped nothing is known" in text


def test_what_early_stopping_saved_is_said_with_its_rule(search: StudyRecords) -> None:
    found = content(search)["early_stopping"]
    assert (found["trials"], found["stopped"], found["epochs_full"]) == (9, 2, 81)
    assert (found["epochs_saved"], found["share_saved"]) == (8 + 6, pytest.approx(14 / 81)), "not what diverged"
    assert found["rule"].startswith("asha at epochs 1, 3")
    text = report(search, "table")
    assert "2 of 9 trials stopped, 14 of 81 epochs saved (17 %)" in text
    assert "1 diverged" in text and "2 early_stopped" in text


def test_what_early_stopping_risked_is_replayed(search: StudyRecords) -> None:
    """At its rungs the six completed trials stand in another order than at the end."""
    found = content(search)["early_stopping"]
    risk = found["risk"]
    assert (risk["trials"], risk["orders"], risk["cannot"]) == (6, 200, None)
    assert 0 < risk["saved"] < 1
    assert 0 <= risk["lost"] <= 1
    assert 0 <= risk["regret"] <= 0.05
    assert "early stopping, replayed over the 6 completed trials in 200 random orders" in report(search, "markdown")
    assert content(search)["early_stopping"] == found, "the orders are drawn from a seed"


def test_a_study_without_early_stopping_says_what_it_would_have_seen(ablation: Ablation) -> None:
    records = ablation(modelled)
    found = content(records)
    assert found["early_stopping"]["risk"] is None
    assert found["early_stopping"]["words"] == ["early stopping: none, every trial runs to the end"]
    assert found["agreement"]["rungs"][0]["epoch"] == 1
    assert "0 trials have both scores" in found["agreement"]["words"][0]


def test_level_probes_are_means_over_the_seeds_that_have_them(ablation: Ablation) -> None:
    records = ablation(lambda cell, seed: "failed" if seed == 3 else 50.0)
    assert content(records)["level_probes"] is None
    for trial in records.trials():
        if trial.state == "completed":
            floor = {"probe.level0.top1": 0.25, "probe.level1.top1": 0.5}
            metrics = {"probe.level0.top1": 0.5 + trial.seed / 8, "probe.level1.top1": 0.75}
            write_json(trial.directory / "result.json", {**trial.result, "floor": floor, "metrics": metrics})
    rows = content(StudyRecords.open(records.directory))["level_probes"]["rows"]
    assert len(rows) == 8 and rows[0] == {
        "cell": rows[0]["cell"],
        "level": 0,
        "trials": 3,
        "untrained": 0.25,
        "trained": 0.625,
    }
    markdown = report(StudyRecords.open(records.directory), "markdown")
    assert f"| {rows[0]['cell']} | 0 | 3 | 0.2500 | 0.6250 | +37.50 |" in markdown.replace("  ", " ")
