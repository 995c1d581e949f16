"""Claim: a search takes over what an earlier study knows of its own space, and only that; it says what it took, and
tries exported files first; a source is read once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hjepa.overrides import ConfigError, yaml12
from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import report
from hjepa.search.sampler import StudySampler
from hjepa.search.study import Study
from hjepa.search.warm_start import FILE, Known, check_sources, warm_start

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
FULL, RUNG = "probe.top1", "probe_rung.top1"
BUDGET = {"trials": 6, "epochs": 4}
SPACE = {"optim.lr": {"log_uniform": [1e-3, 1e-2]}, "optim.batch_size": {"choice": [128, 256]}}


def fingerprint(config: object) -> str:
    return "data"


@pytest.fixture
def earlier(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    """Eight configurations, of which a study of SPACE can take three: two completed and one that was stopped."""
    space = {"optim.lr": {"log_uniform": [1e-4, 1e-1]}, "optim.weight_decay": {"choice": [0.05, 0.3]}}
    study = make_study(space=space, budget=BUDGET)
    records = StudyRecords.create_or_open(tmp_path / "earlier", study, "data")
    done: dict[str, Any] = {"epoch": 4, "metrics": {FULL: 0.5, RUNG: 0.4}}
    enter(records, study, 0, {}, "completed", **done)
    enter(records, study, 1, {"optim.lr": 0.002}, "completed", **{**done, "metrics": {FULL: 0.6, RUNG: 0.5}})
    stopped = enter(records, study, 2, {"optim.lr": 0.003}, "early_stopped", epoch=2, metrics={RUNG: 0.2})
    (stopped.directory / "metrics.jsonl").write_text(
        json.dumps({"kind": "rung", "step": 1, "epoch": 2, RUNG: 0.2}) + "\n"
    )
    enter(records, study, 3, {"optim.lr": 0.05}, "completed", **done)
    enter(records, study, 4, {"optim.lr": 0.004, "optim.weight_decay": 0.3}, "completed", **done)
    enter(records, study, 5, {"optim.lr": 0.005}, "failed", reason="ValueError: boom")
    enter(records, study, 6, {"optim.lr": 0.006})
    other = enter(records, study, 7, {"optim.lr": 0.007}, "completed", **done, data_fingerprint="others")
    trial = yaml12.read(other.directory / "trial.json")
    write_json(other.directory / "trial.json", {**trial, "config": "0123456789abcdef"})
    return records


def opened(study: Study, directory: Path) -> StudySampler:
    directory.mkdir(exist_ok=True)
    sampler = StudySampler(study.space, study.spec.sampler, trials=6, journal=directory / "journal")
    sampler.start_from(warm_start(study, directory, fingerprint))
    return sampler


def test_only_what_this_study_would_score_the_same_is_taken(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(space=SPACE, budget=BUDGET, warm_start=["earlier"])
    found = warm_start(study, tmp_path / "new", fingerprint)
    base = {"optim.batch_size": study.base.optim.batch_size}
    rates = (study.base.optim.lr, 0.002, 0.003)
    assert [known.overrides for known in found.known] == [{"optim.lr": rate, **base} for rate in rates]
    assert found.known[1] == Known({"optim.lr": 0.002, **base}, "completed", 0.6, {})
    assert found.known[2] == Known({"optim.lr": 0.003, **base}, "pruned", None, {2: 0.2})
    (line,) = found.lines
    assert "3 of 8 configurations taken" in line
    for why in (
        "2 with no score on every seed",
        "1 with optim.lr 0.05 outside the space",
        "1 with other settings (optim.weight_decay)",
        "1 with other data",
    ):
        assert why in line


def test_optuna_knows_them_and_they_are_no_trials_of_this_study(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(space=SPACE, budget=BUDGET, warm_start=["earlier"])
    for _ in range(2):  # the second time from the journal and from the study's own file
        sampler = opened(study, tmp_path / "new")
        trials = sampler._study.get_trials()
        assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
        assert (sampler.told(), sampler.running()) == (set(), {})
        assert sampler._study.best_value == 0.6
        (earlier.directory / "study.yaml").unlink(missing_ok=True)


def test_other_epochs_take_nothing_and_are_read_anew(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    longer = make_study(space=SPACE, budget={**BUDGET, "epochs": 8}, warm_start=["earlier"])
    found = warm_start(longer, tmp_path / "new", fingerprint)
    assert found.known == ()
    assert "other settings (training.epochs" in found.lines[0]
    same = make_study(space=SPACE, budget=BUDGET, warm_start=["earlier"])
    assert len(warm_start(same, tmp_path / "new", fingerprint).known) == 3


def test_an_experiment_file_is_tried_right_after_the_baseline(make_study: MakeStudy, tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(yaml12.dump({"optim": {"lr": 0.004, "weight_decay": 0.3}}))
    (tmp_path / "wild.yaml").write_text(yaml12.dump({"optim": {"lr": 0.5}}))
    study = make_study(space=SPACE, budget=BUDGET, warm_start=["best.yaml", "wild.yaml"])
    sampler = opened(study, tmp_path / "new")
    first = {"optim.lr": 0.004, "optim.batch_size": study.base.optim.batch_size}
    assert sampler.ask(0) == {}
    assert sampler.ask(1) == first
    sampler.reject(1)
    assert sampler.ask(1) != first, "a refused proposal is not made again"
    assert opened(study, tmp_path / "new").ask(2) != first
    lines = warm_start(study, tmp_path / "new", fingerprint).lines
    assert "best.yaml: tried first; the study's own optim.weight_decay" in lines[0]
    assert "wild.yaml: not taken: optim.lr 0.5 outside the space" in lines[1]


def test_a_source_that_is_not_there_is_refused_before_anything_is_written(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(warm_start=["nowhere"])
    with pytest.raises(ConfigError, match=r"warm_start: got .*nowhere; allowed the directory of a study"):
        check_sources(study, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["random", "grid", "cmaes"])
def test_a_sampler_that_learns_nothing_takes_files_alone(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path, kind: str
) -> None:
    space = {
        "optim.batch_size": {"int": [128, 384], "step": 128},
        "optim.weight_decay": {"uniform": [0.0, 0.4], "step": 0.1},
    }
    (tmp_path / "best.yaml").write_text(yaml12.dump({"optim": {"batch_size": 128, "weight_decay": 0.1}}))
    keys = {"space": space, "budget": BUDGET, "sampler": {"type": kind}}
    with pytest.raises(ConfigError, match=rf"warm_start: got .*; allowed experiment files with sampler.type {kind}"):
        check_sources(make_study(**keys, warm_start=["earlier"]), tmp_path / "new")
    study = make_study(**keys, warm_start=["best.yaml"])
    check_sources(study, tmp_path / "new")
    assert opened(study, tmp_path / "new").ask(1) == {"optim.batch_size": 128, "optim.weight_decay": 0.1}


def test_a_study_of_several_objectives_and_limits_gives_its_scores(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    spec = yaml12.read(earlier.directory / "study.yaml")
    goals = [{"metric": FULL, "mode": "max"}, {"metric": "memory", "mode": "min"}]
    write_text = (earlier.directory / "study.yaml").write_text
    write_text(yaml12.dump({**spec, "objective": goals, "constraints": {"parameters": "< 10"}}))
    study = make_study(space=SPACE, budget=BUDGET, warm_start=["earlier"])
    found = warm_start(study, tmp_path / "new", fingerprint)
    assert [(known.outcome, known.value) for known in found.known] == [
        *(("completed", 0.5), ("completed", 0.6), ("pruned", None))
    ]


def test_a_study_that_went_on_at_other_epochs_gives_those_of_these(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    spec = yaml12.read(earlier.directory / "study.yaml")
    earlier.say_epochs()
    (earlier.directory / "study.yaml").write_text(yaml12.dump({**spec, "budget": {**spec["budget"], "epochs": 9}}))
    study = make_study(space=SPACE, budget=BUDGET, warm_start=["earlier"])
    assert len(warm_start(study, tmp_path / "new", fingerprint).known) == 3


def test_the_record_of_a_study_names_its_sources_wherever_it_is_read(
    earlier: StudyRecords, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(space=SPACE, budget=BUDGET, warm_start=["earlier"])
    records = StudyRecords.create_or_open(tmp_path / "new", study, "data")
    again = Study.load(records.directory / "study.yaml")
    assert again.warm_start == study.warm_start == (tmp_path / "earlier",)
    warm_start(again, records.directory, fingerprint)
    assert "3 of 8 configurations taken" in report(records, "table")
    (records.directory / FILE).write_text('{"x": {"known": 3}}')
    assert len(warm_start(study, records.directory, fingerprint).known) == 3, "damaged: read again"


def test_an_ablation_starts_from_nothing(make_study: MakeStudy) -> None:
    factors = {"a": {"without": {}, "with": {"optim.lr": 0.002}}}
    with pytest.raises(ConfigError, match="warm_start: allowed only with a space"):
        make_study(
            space="<absent>",
            budget={"epochs": 4},
            ablation={"design": "leave_one_out", "factors": factors},
            warm_start=["earlier"],
        )
