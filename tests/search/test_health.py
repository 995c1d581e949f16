"""Each finding appears where it should, names one key to change, and a healthy study has none."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hjepa.search.health import findings
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import content, report
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
Found = list[dict[str, str]]
#: What a report says beside the trials, of a study with nothing to say.
QUIET: dict[str, Any] = {
    "agreement": {"rungs": []},
    "early_stopping": {"stopped": 0, "risk": None},
    "importances": {"dimensions": []},
}
SPACE = {
    "optim.lr": {"log_uniform": [1e-4, 1e-2]},
    "model.layer_scale": {"choice": [None, 1e-4]},
    "model.drop_path": {"uniform": [0.0, 0.4]},
    "predictor.depth": {"int": [1, 5]},
}


@pytest.fixture
def judged(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> Callable[..., Found]:
    """The findings of a search whose trials are (overrides, score or state)."""

    def judged(
        trials: list[tuple[Mapping[str, Any], float | str]], numbers: Mapping[str, Any] | None = None, **keys: Any
    ) -> Found:
        study = make_study(**{"space": SPACE, "budget": {"trials": len(trials), "epochs": 4}, **keys})
        records = StudyRecords.create_or_open(tmp_path / "runs", study)
        for index, (overrides, end) in enumerate(trials):
            if isinstance(end, str):
                state, _, reason = end.partition(": ")
                enter(records, study, index, overrides, state, epoch=1, reason=reason or None, metrics={})
            else:
                enter(records, study, index, overrides, "completed", epoch=4, metrics={"probe.top1": end})
        return list(findings(study, records, {**QUIET, **(numbers or {})})["found"])

    return judged


def spread(count: int = 16, best: float = 0.5) -> list[tuple[dict[str, Any], float | str]]:
    """A baseline, and configurations all over the space, best in the middle of each range."""
    found: list[tuple[dict[str, Any], float | str]] = [({}, 0.5)]
    for number in range(1, count):
        place = number / count
        settings = {
            "optim.lr": 10 ** (-4 + 2 * place),
            "model.drop_path": 0.4 * place,
            "predictor.depth": 1 + int(5 * place),
        }
        found.append((settings, 0.8 - abs(place - best)))
    return found


def test_a_healthy_study_has_none(judged: Callable[..., Found]) -> None:
    assert judged(spread()) == []


@pytest.mark.parametrize(("best", "end", "bound"), [(1.0, "upper", 0.03), (0.0, "lower", 1e-4 / 3)])
def test_an_optimum_at_the_edge_of_a_range(judged: Callable[..., Found], best: float, end: str, bound: float) -> None:
    found = {entry["key"]: entry for entry in judged(spread(64, best))}
    assert found["space.optim.lr"]["name"] == "optimum at the edge of a range"
    assert found["space.optim.lr"]["action"] == f"{'an' if end == 'upper' else 'a'} {end} bound of {bound:g}"
    # Below 0 nothing can be dropped: a range that ends there is no narrow one.
    assert ("space.model.drop_path" in found) == (end == "upper")


def test_too_few_completed_trials(judged: Callable[..., Found]) -> None:
    (found,) = judged(spread(5))
    assert (found["name"], found["key"], found["action"]) == ("too few completed trials", "budget.trials", "at least 8")


def test_most_trials_stopped_asks_for_a_longer_grace(judged: Callable[..., Found]) -> None:
    stopped = [({"optim.lr": 1e-3 + 1e-4 * number}, "early_stopped") for number in range(8)]
    (found,) = judged([*spread(5), *stopped])
    assert (found["name"], found["key"]) == ("too few completed trials", "scheduler.grace")


def test_a_floor_that_is_not_beaten(judged: Callable[..., Found]) -> None:
    poor = [(settings, 0.1) for settings, _ in spread()]
    found = {entry["name"]: entry["key"] for entry in judged(poor)}  # the floor of a written trial is 0.2
    assert found["floor not beaten"] == "budget.epochs"


@pytest.mark.parametrize(
    ("end", "name", "key"),
    [
        ("collapsed: rank 1.2", "collapse in many trials", "objective.vicreg.weight"),
        ("diverged: the loss is nan", "many failures of one cause", "space.optim.lr"),
        ("out_of_memory", "many failures of one cause", "runtime.micro_batch"),
        ("preempted", "many failures of one cause", "faults.preempted"),
        ("failed: hung: silent for 10:00", "many failures of one cause", "faults.hung"),
        ("failed: ValueError: boom", "many failures of one cause", "base"),
    ],
)
def test_many_ends_of_one_cause(judged: Callable[..., Found], end: str, name: str, key: str) -> None:
    bad = [({"optim.lr": 2e-3 + 1e-4 * number}, end) for number in range(5)]
    (found,) = judged([*spread(), *bad])
    assert (found["name"], found["key"]) == (name, key)
    assert found["text"].startswith("5 of 21 trials: ")


def test_few_bad_ends_are_no_finding(judged: Callable[..., Found]) -> None:
    assert judged([*spread(), ({"optim.lr": 2e-3}, "collapsed"), ({"optim.lr": 3e-3}, "diverged")]) == []


def test_what_all_that_failed_share_is_named(judged: Callable[..., Found]) -> None:
    bad = [({"model.layer_scale": 1e-4, "optim.lr": 2e-3 + 1e-4 * number}, "diverged") for number in range(5)]
    (found,) = judged([*spread(), *bad])
    assert found["key"] == "space.model.layer_scale"
    assert found["action"].startswith("leave out 0.0001, which all of them have")


def importance(path: str, importance: float, chance: float) -> dict[str, Any]:
    return {"importances": {"dimensions": [{"path": path, "importance": importance, "chance": chance}]}}


def test_a_toggle_without_effect(judged: Callable[..., Found]) -> None:
    (found,) = judged(spread(), importance("model.layer_scale", 0.02, 0.3))
    assert (found["name"], found["key"]) == ("toggle without effect", "space.model.layer_scale")


@pytest.mark.parametrize(("path", "value"), [("model.layer_scale", 0.4), ("optim.lr", 0.02)])
def test_what_has_an_effect_or_is_no_toggle_is_no_finding(
    judged: Callable[..., Found], path: str, value: float
) -> None:
    assert judged(spread(), importance(path, value, 0.3)) == []


@pytest.mark.parametrize(
    ("stopped", "lost", "spearman", "expected"),
    [(4, 0.5, 0.9, True), (4, 0.0, 0.1, True), (4, 0.1, 0.8, False), (0, 0.5, 0.1, False)],
)
def test_early_stopping_that_is_too_aggressive(
    judged: Callable[..., Found], stopped: int, lost: float, spearman: float, expected: bool
) -> None:
    numbers = {
        "early_stopping": {"stopped": stopped, "risk": {"lost": lost}},
        "agreement": {"rungs": [{"epoch": 1, "trials": 12, "spearman": spearman}]},
    }
    found = judged(spread(), numbers)
    assert [(entry["name"], entry["key"], entry["action"]) for entry in found] == (
        [("early stopping too aggressive", "scheduler.grace", "0.2 in place of 0.1")] if expected else []
    )


def test_a_longer_grace_is_named_beside_the_one_there_is(judged: Callable[..., Found]) -> None:
    numbers = {"early_stopping": {"stopped": 4, "risk": {"lost": 0.5}}}
    (found,) = judged(spread(), numbers, scheduler={"type": "asha", "grace": 0.8})
    assert found["action"] == "1 in place of 0.8"


def test_a_choice_that_does_not_act_is_not_to_be_left_out(judged: Callable[..., Found]) -> None:
    space = {**SPACE, "views.augmentation": {"choice": ["none", "three_augment"]}}
    space["views.color_jitter"] = {"choice": [0.1, 0.2], "when": {"views.augmentation": ["three_augment"]}}
    bad = [({"optim.lr": 2e-3 + 1e-4 * n, "views.augmentation": "none"}, "diverged") for n in range(5)]
    good = [({**settings, "views.augmentation": "none"}, end) for settings, end in spread()[1:]]
    (found,) = judged([({}, 0.5), *good, *bad], space=space)
    assert found["key"] == "space.optim.lr"


def test_where_rungs_count_the_floor_is_that_of_rungs(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(
        space=SPACE, budget={"trials": 16, "epochs": 4}, objective={"metric": "probe.top1", "at": "best"}
    )
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index, (settings, _) in enumerate(spread()):
        scores = {"probe.top1": 0.3, "probe_rung.top1": 0.15}  # the floors are 0.2 and 0.1
        enter(records, study, index, settings, "completed", epoch=4, metrics=scores)
    assert not [f for f in findings(study, records, QUIET)["found"] if f["name"] == "floor not beaten"]


def test_of_several_objectives_the_edge_is_that_of_the_whole_front(
    make_study: MakeStudy, tmp_path: Path, enter: Enter
) -> None:
    objective = [{"metric": "probe.top1"}, {"metric": "parameters", "mode": "min"}]
    study = make_study(space=SPACE, budget={"trials": 64, "epochs": 4}, objective=objective)
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index, (settings, score) in enumerate(spread(64, 1.0)):  # the larger the better, and none is beaten
        done = {"epoch": 4, "metrics": {"probe.top1": score}, "parameters": 1e6 * (index or 1000)}
        enter(records, study, index, settings, "completed", **done)
    assert not [f for f in findings(study, records, QUIET)["found"] if "edge" in f["name"]]


def test_nothing_is_found_while_trials_are_open(judged: Callable[..., Found]) -> None:
    assert judged([*spread(5), ({"optim.lr": 2e-3}, "pending")]) == []


def test_a_technique_inside_its_margin(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    factors = {"drop": {"without": {"model.drop_path": 0.0}, "with": {"model.drop_path": 0.1}}}
    study = make_study(space="<absent>", ablation={"design": "leave_one_out", "factors": factors}, budget={"epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5})
    row = {"name": "- drop", "equivalent": True, "margin": 0.5}
    (found,) = findings(study, records, {**QUIET, "comparisons": [row]})["found"]
    assert (found["name"], found["key"]) == ("toggle without effect", "ablation.factors")
    assert findings(study, records, {**QUIET, "comparisons": [{**row, "equivalent": None}]})["found"] == []


def test_every_format_says_it(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(space=SPACE, budget={"trials": 2, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index, overrides in enumerate(({}, {"optim.lr": 2e-3})):
        enter(records, study, index, overrides, "completed", epoch=4, metrics={"probe.top1": 0.5})
    line = "finding: 2 configurations have a full score"
    for style in ("table", "markdown"):
        assert line in report(records, style)
    found = content(records)
    assert found["findings"]["found"] == json.loads(report(records, "json"))["findings"]["found"]
    assert any(note.startswith(line) for note in found["notes"]), "of which HTML and LaTeX are made"
