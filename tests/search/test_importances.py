"""Importances are Optuna's PED-ANOVA of full scores alone, beside chance; few configurations are words, not numbers."""

import csv
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hjepa.search.importances import BEST, Point, importances
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.importance import FEWEST, MOST, _spread
from hjepa.search.reports.report import content, report
from hjepa.search.space import Dimension, Space
from hjepa.search.study import Study

SPACE = Space(
    (
        Dimension("optim.lr", "log_uniform", low=1e-4, high=1e-2),
        Dimension("optim.decay", "uniform", low=0.0, high=1.0),
        Dimension("views.kind", "choice", choices=(None, [1, 2], "x")),
        Dimension("views.depth", "int", low=1, high=8, when={"views.kind": ("x",)}),
    ),
    {},
)


def points(count: int, draw: int = 0) -> list[Point]:
    """Only the learning rate matters, and the score grows to its upper bound."""
    rng = np.random.default_rng(draw)
    found = []
    for _ in range(count):
        values: dict[str, Any] = {
            "optim.lr": float(10 ** rng.uniform(-4, -2)),
            "optim.decay": float(rng.uniform()),
            "views.kind": (None, [1, 2], "x")[rng.integers(3)],
        }
        if values["views.kind"] == "x":
            values["views.depth"] = int(rng.integers(1, 9))
        found.append((values, float(np.log10(values["optim.lr"]) + 0.1 * rng.standard_normal())))
    return found


@pytest.mark.slow
def test_the_forests_of_scikit_learn_are_not_loaded_for_it() -> None:
    code = "import sys; from hjepa.search.importances import _evaluator; _evaluator(); print('sklearn' in sys.modules)"
    command = [sys.executable, "-W", "ignore", "-c", f"{code}; import sklearn.base"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_what_matters_comes_first_and_what_does_not_is_not_told_from_chance() -> None:
    found = {entry.path: entry for entry in importances(SPACE, points(60))}
    first = found["optim.lr"]
    assert next(iter(found)) == "optim.lr"
    assert first.importance is not None and first.chance is not None and first.importance > 3 * first.chance
    for path in ("optim.decay", "views.kind", "views.depth"):
        entry = found[path]
        assert entry.importance is not None and entry.chance is not None and entry.importance < entry.chance, path
    assert sum(entry.importance or 0.0 for entry in found.values()) == pytest.approx(1.0)
    assert first.best_high is not None and first.best_low is not None and first.best_high > first.best_low
    assert found["views.kind"].best_high is None, "a choice has no bounds"
    assert found["optim.decay"].configurations == 60 > found["views.depth"].configurations


def test_the_shares_are_those_of_optuna() -> None:
    scored = points(40, 1)
    study = optuna.create_study(direction="maximize")
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        "optim.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "optim.decay": optuna.distributions.FloatDistribution(0.0, 1.0),
        "views.kind": optuna.distributions.CategoricalDistribution(("none", "pair", "x")),
        "views.depth": optuna.distributions.IntDistribution(1, 8),
    }
    names = {"None": "none", "[1, 2]": "pair", "x": "x"}
    for values, score in scored:
        params = {path: names[str(v)] if path == "views.kind" else v for path, v in values.items()}
        used = {path: ranges[path] for path in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=used, value=score))
    theirs = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST)
    )
    for entry in importances(SPACE, scored):
        assert entry.importance == pytest.approx(theirs[entry.path], abs=1e-8)


def test_a_dimension_that_rarely_exists_says_so() -> None:
    scored = [point for point in points(60) if "views.depth" not in point[0]][:30]
    scored += [point for point in points(60, 2) if "views.depth" in point[0]][:3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {entry.path: entry for entry in importances(SPACE, scored)}
    assert "3 of 33" in str(found["views.depth"].cannot) and found["views.depth"].importance is None
    assert found["optim.lr"].importance is not None


def test_nothing_is_important_where_scores_do_not_differ() -> None:
    found = importances(SPACE, [(values, 0.5) for values, _ in points(30)])
    assert all(entry.importance is None and "where all lie" in str(entry.cannot) for entry in found)
    fixed = [({**values, "optim.decay": 0.5}, score) for values, score in points(30)]
    one = {entry.path: entry for entry in importances(SPACE, fixed)}
    assert "one value" in str(one["optim.decay"].cannot)


def test_of_very_many_some_are_taken_evenly_by_rank() -> None:
    scored = points(3 * MOST)
    used = _spread(scored)
    scores = sorted((score for _, score in scored), reverse=True)
    assert len(used) == MOST and [used[0][1], used[-1][1]] == [scores[0], scores[-1]]
    assert used[MOST // 2][1] == pytest.approx(scores[len(scores) // 2], abs=0.01)
    assert _spread(scored[:MOST]) == scored[:MOST]


def test_a_report_has_them_from_the_records_alone(
    make_study: Callable[..., Study], enter: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    study = make_study(budget={"trials": 40, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    rng = np.random.default_rng(0)
    for index in range(FEWEST):
        if index == FEWEST - 1:
            few = content(records)["importances"]
            assert few["dimensions"] == [] and f"at least {FEWEST} are needed" in few["cannot"]
            assert f"importances: {FEWEST - 1} configurations have a full score" in report(records, "table")
            assert "importance" not in report(records, "csv")
        lr = float(10 ** rng.uniform(-4, -2))
        overrides = {"optim.lr": lr, "views.augmentation": ["none", "three_augment"][index % 2]}
        score = 0.5 + 0.1 * float(np.log10(lr) + 3)
        metrics = {"probe.top1": score, "probe_rung.top1": score}
        enter(records, study, index, overrides if index else {}, "completed", epoch=4, metrics=metrics)
    found = content(records)["importances"]
    assert found["configurations"] == FEWEST and found["cannot"] is None
    assert found["dimensions"][0]["path"] == "optim.lr"
    assert found["dimensions"][0]["conclusion"].startswith("above chance")
    for number in range(6):  # stopped early, at a rung with the highest of scores
        overrides = {"optim.lr": 2e-4 + 1e-6 * number, "views.augmentation": "none"}
        stopped = {"probe_rung.top1": 0.99}
        enter(records, study, FEWEST + number, overrides, "early_stopped", epoch=1, metrics=stopped)
    assert content(records)["importances"] == found
    shares = {entry["path"]: entry["importance"] for entry in found["dimensions"]}
    for style in ("table", "markdown"):
        text = report(records, style)  # type: ignore[arg-type]
        assert f"{shares['optim.lr']:.3f}" in text
        assert "those that were stopped early are not in it" in text
    last = list(csv.DictReader(io.StringIO(report(records, "csv"))))[-1]
    assert last["id"] == "importance" and float(last["optim.lr"]) == shares["optim.lr"]
    assert json.loads(report(records, "json"))["importances"]["dimensions"] == found["dimensions"]
