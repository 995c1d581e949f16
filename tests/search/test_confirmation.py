"""Claim: the winner of a search is called confirmed only by seeds that did not choose it, against the baseline on the
same seeds, and only then is the test split read; the report, the export and the command say which of these holds."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hjepa.cli.search import main
from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_json
from hjepa.search.ablation.cells import FixedCells
from hjepa.search.conductor import Conductor
from hjepa.search.confirmation import confirmation
from hjepa.search.export import export, select
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.reports.report import content, report
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
Enter = Callable[..., TrialRecord]
#: Index -> learning rate and the score at full budget; None: stopped early.
SEARCHED = {1: (0.002, 0.62), 2: (0.003, 0.58), 3: (0.004, None), 4: (0.005, 0.60)}


@pytest.fixture
def searched(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> StudyRecords:
    """A finished search: c1 leads c4, then c2; the baseline is below them."""
    study = make_study(budget={"trials": 5, "epochs": 4}, seeds=[0])
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.55})
    for index, (lr, score) in SEARCHED.items():
        state, metric = ("completed", "probe.top1") if score else ("early_stopped", "probe_rung.top1")
        enter(records, study, index, {"optim.lr": lr}, state, epoch=4, metrics={metric: score or 0.9})
    return records


def execute(study: Study, directory: Path, worth: Mapping[str, float], stop_after: int = 10_000) -> list[str]:
    """Run a confirmation whose cells score `worth`, a little apart from seed to seed; what was executed."""
    records = StudyRecords.create_or_open(directory, study, "data")
    assert study.design is not None
    cells = FixedCells(study.design, records.metric, records.trials)
    conductor = Conductor(study, records, cells, fingerprint=lambda config: "data", check=lambda config: None)
    executed: list[str] = []
    while len(executed) < stop_after and (trial := conductor.next_trial()) is not None:
        executed.append(f"{trial.cell} {trial.seed}")
        conductor.started(trial.id)
        score = worth[trial.cell] + 0.02 * (trial.seed % 3) + 0.001 * ((trial.seed * (trial.index + 2)) % 5)
        metrics = {"probe.top1": score}
        write_json(trial.directory / "result.json", {"state": "completed", "epoch": 4, "rung": 0, "metrics": metrics})
        write_json(trial.directory / "test.json", {"test.probe.top1": score - 0.05})
        conductor.ended(trial.id)
    return executed


HOLDS = {"reference": 0.55, "candidate=c1": 0.56, "candidate=c4": 0.61, "candidate=c2": 0.54}
FAILS = {"reference": 0.55, "candidate=c1": 0.5502, "candidate=c4": 0.5501, "candidate=c2": 0.54}


def test_the_best_few_run_at_full_budget_on_fresh_seeds_beside_the_baseline(searched: StudyRecords) -> None:
    study = confirmation(searched)
    assert study.design is not None
    assert [cell.name for cell in study.design.cells] == ["reference", "candidate=c1", "candidate=c4", "candidate=c2"]
    assert study.spec.seeds == (1000, 1001, 1002)
    assert (study.epochs, study.spec.scheduler.type, study.name) == (4, "none", "t-confirm")
    first = searched.trials()[1]
    again = study.config(study.design.overrides(study.design.cells[1]), first.seed)
    assert again == Study.load(searched.directory / "study.yaml").config(first.overrides, first.seed)
    assert len(confirmation(searched, top=1, seeds=5).spec.seeds) == 5


def test_seeds_of_the_search_are_never_fresh(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(budget={"trials": 2, "epochs": 4}, seeds=[1001, 7])
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    for index, overrides in enumerate(({}, {"optim.lr": 0.002})):
        for seed in (1001, 7):
            enter(records, study, index, overrides, "completed", seed=seed, epoch=4, metrics={"probe.top1": 0.5})
    assert confirmation(records).spec.seeds == (1000, 1002, 1003)


def test_an_interrupted_confirmation_goes_on_and_more_seeds_run_the_missing_trials(searched: StudyRecords) -> None:
    place = searched.directory / "confirm"
    assert len(execute(confirmation(searched, top=2), place, HOLDS, stop_after=4)) == 4
    found = content(searched)["selection"]
    assert (found["state"], found["cell"]) == ("unconfirmed", "c1")
    assert found["confirmation"]["trials"] == {"ended": 4, "asked": 9}
    assert all(candidate["test_score"] is None for candidate in found["confirmation"]["candidates"])
    assert len(execute(confirmation(searched), place, HOLDS)) == 5, "the candidates stay the two"
    assert execute(confirmation(searched, top=2, seeds=4), place, HOLDS) == [
        f"{cell} 1003" for cell in ("reference", "candidate=c1", "candidate=c4")
    ]


def test_the_confirmed_candidate_is_what_the_report_and_the_export_name(searched: StudyRecords) -> None:
    execute(confirmation(searched, seeds=6), searched.directory / "confirm", HOLDS)
    found = content(searched)["selection"]
    assert (found["state"], found["cell"], found["score"]) == ("confirmed", "c4", 0.60)
    verdicts = {entry["cell"]: entry["verdict"] for entry in found["confirmation"]["candidates"]}
    assert verdicts == {"c1": "confirmed", "c4": "confirmed", "c2": "not confirmed"}
    best = found["confirmation"]["candidates"][1]
    assert best["comparison"]["effect"] == pytest.approx(6.0, abs=0.3)
    assert best["comparison"]["p_holm"] < 0.05
    assert best["test_score"] == pytest.approx(best["score"] - 0.05)
    assert best["comparison"]["test"]["effect"] == pytest.approx(best["comparison"]["effect"])
    for style in ("table", "markdown"):
        text = report(searched, style)  # type: ignore[arg-type]
        assert "confirmed: c4" in text
        assert "selected on the hold-out, reported on test" in text
        assert f"{best['test_score']:.4f}" in text
        assert "unconfirmed" not in text
    assert select(searched, None).cell == "c4"
    output = searched.directory / "best.yaml"
    export(searched, select(searched, None), output)
    assert "# Selection: confirmed: c4" in output.read_text()


def test_a_winner_that_fresh_seeds_do_not_hold_is_not_confirmed(searched: StudyRecords) -> None:
    execute(confirmation(searched), searched.directory / "confirm", FAILS)
    found = content(searched)["selection"]
    assert (found["state"], found["cell"]) == ("not confirmed", "c1")
    assert "not confirmed: c1" in found["words"][0]
    assert "on 3 fresh seeds" in found["words"][0]
    assert select(searched, None).cell == "c1"


def test_a_search_that_found_nothing_better_says_so(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(budget={"trials": 2, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.7})
    enter(records, study, 1, {"optim.lr": 0.002}, "completed", epoch=4, metrics={"probe.top1": 0.6})
    execute(confirmation(records), records.directory / "confirm", {"reference": 0.7, "candidate=c1": 0.6})
    found = content(records)["selection"]
    assert (found["state"], found["cell"]) == ("not confirmed", "baseline")
    assert found["words"][0].startswith("selected: the baseline itself")


def test_a_failed_trial_is_shown_and_confirms_nothing(searched: StudyRecords) -> None:
    place = searched.directory / "confirm"
    execute(confirmation(searched, top=1, seeds=2), place, HOLDS)
    trial = StudyRecords.open(place).trials()[-1]
    (trial.directory / "test.json").unlink()
    write_json(trial.directory / "result.json", {"state": "failed", "reason": "boom"})
    found = content(searched)["selection"]
    assert found["state"] == "not confirmed"
    assert found["confirmation"]["candidates"][0]["comparison"]["missing"][0]["state"] == "candidate=c1 failed"
    assert "one seed" in found["words"][0]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line by which a command refuses."""
    with pytest.raises(SystemExit) as ended:
        main(["confirm", *arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_what_cannot_be_confirmed_is_refused_in_one_line(
    searched: StudyRecords, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(searched.directory)
    assert "no such directory" in call(capsys, "nowhere")
    assert "--top: got 0" in call(capsys, place, "--top", "0")
    assert "--seeds: got 0" in call(capsys, place, "--seeds", "0")
    execute(confirmation(searched), searched.directory / "confirm", HOLDS, stop_after=1)
    assert "is an ablation" in call(capsys, f"{place}/confirm")
    assert "--top: got 1, now c1; allowed 3, c1, c4, c2" in call(capsys, place, "--top", "1")
    assert "--seeds: got 2; allowed at least 3" in call(capsys, place, "--seeds", "2")
    write_json(searched.directory / "environment.json", {"data_fingerprint": "of other images"})
    assert "searched on other data" in call(capsys, place)
    (searched.trials()[-1].directory / "result.json").unlink()
    assert "4 of 5 trials have ended; allowed a finished search" in call(capsys, place)


def test_seeds_that_the_search_has_used_since_are_no_longer_fresh(searched: StudyRecords, enter: Enter) -> None:
    execute(confirmation(searched), searched.directory / "confirm", HOLDS, stop_after=1)
    spec: dict[str, Any] = dict(searched.spec)
    with pytest.raises(ConfigError, match=r"1001.*not fresh"):
        confirmation(_Extended(searched.directory, {**spec, "seeds": [0, 1001]}))


class _Extended(StudyRecords):
    """A search that knows more seeds than its file."""


def test_a_search_without_a_completed_candidate(make_study: MakeStudy, tmp_path: Path, enter: Enter) -> None:
    study = make_study(budget={"trials": 1, "epochs": 4})
    records = StudyRecords.create_or_open(tmp_path / "runs", study)
    assert content(records)["selection"]["state"] == "nothing"
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.5})
    with pytest.raises(ConfigError, match="nothing to confirm"):
        confirmation(records)
    assert json.loads(report(records, "json"))["selection"]["state"] == "unconfirmed"
