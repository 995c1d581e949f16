"""A study can be read from MLflow alone: every format says what it says from the files, after these are gone."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
from mlflow import MlflowClient

from hjepa.overrides import ConfigError
from hjepa.search.confirmation import confirmation
from hjepa.search.records import StudyRecords
from hjepa.search.reports.report import Format, report
from hjepa.search.tracking.mirror import sync
from hjepa.search.tracking.source import rebuilt
from tests.search.test_confirmation import HOLDS, SEARCHED, execute
from tests.tiny import MODEL
from tests.tracked import Enter, MakeStudy, make_records, without_page

pytestmark = pytest.mark.slow


@pytest.fixture
def shared(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that is no study's own."""
    without_page(monkeypatch)
    path = tmp_path / "shared" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_store, path)
    return f"sqlite:///{path}"


def test_every_format_from_mlflow_alone(
    make_study: MakeStudy, enter: Enter, tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = make_records(make_study, enter, tmp_path / "study", study="a-search")
    assert sync(records, shared) == []
    styles = get_args(Format)
    expected = {style: report(records, style) for style in styles}
    shutil.move(records.directory, tmp_path / "elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared)
    with rebuilt("a-search") as again:
        found = {style: report(again, style) for style in styles}
    for style in styles:
        assert found[style] == expected[style]


def test_a_part_comes_with_its_study(make_study: MakeStudy, enter: Enter, tmp_path: Path, shared: str) -> None:
    records = make_records(make_study, enter, tmp_path / "study")
    study = make_study(base=MODEL, study="t-part")
    part = StudyRecords.create_or_open(records.directory / "part", study, "data")
    trial = enter(part, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.7})
    sync(part, shared)
    with rebuilt("t", shared) as again:
        assert again.name == "t"
        there = StudyRecords.open(again.directory / "part")
        assert [found.id for found in there.trials()] == [trial.id]


def test_a_confirmed_search_is_confirmed_from_mlflow_alone(
    make_study: MakeStudy, enter: Enter, tmp_path: Path, shared: str
) -> None:
    study = make_study(base=MODEL, budget={"trials": 5, "epochs": 4}, seeds=[0])
    records = StudyRecords.create_or_open(tmp_path / "runs", study, "data")
    enter(records, study, 0, {}, "completed", epoch=4, metrics={"probe.top1": 0.55})
    for index, (lr, score) in SEARCHED.items():
        state, metric = ("completed", "probe.top1") if score else ("early_stopped", "probe_rung.top1")
        enter(records, study, index, {"optim.lr": lr}, state, epoch=4, metrics={metric: score or 0.9})
    place = records.directory / "confirm"
    execute(confirmation(records, seeds=6), place, HOLDS)
    for each in (records, StudyRecords.open(place)):
        sync(each, shared)
    expected = json.loads(report(records, "json"))
    assert expected["selection"]["state"] == "confirmed"
    shutil.move(records.directory, tmp_path / "elsewhere")
    with rebuilt("t", shared) as again:
        assert json.loads(report(again, "json")) == expected


def test_an_ablation_with_its_scores_on_test_from_mlflow_alone(
    make_study: MakeStudy, tmp_path: Path, shared: str
) -> None:
    factor = {"without": {}, "with": {"model.layer_scale": 1e-2}}
    spec = {"design": "leave_one_out", "factors": {"scale": factor}, "margin": 1.0}
    claims = [{"factor": "scale", "effect": [0.5, 1.0], "source": "somebody"}]
    budget = {"epochs": 4}
    study = make_study(base=MODEL, space="<absent>", budget=budget, ablation=spec, seeds=[0, 1, 2], claims=claims)
    execute(study, tmp_path / "runs", {"full": 0.6, "without_scale": 0.55})
    records = StudyRecords.open(tmp_path / "runs")
    sync(records, shared)
    styles: tuple[Format, ...] = ("json", "csv", "markdown", "latex")
    expected = [report(records, style) for style in styles]
    assert json.loads(expected[0])["comparisons"][0]["test"]["low"] is not None
    shutil.move(records.directory, tmp_path / "elsewhere")
    with rebuilt("t", shared) as again:
        assert [report(again, style) for style in styles] == expected


def test_the_newest_of_several_studies_of_one_name(
    make_study: MakeStudy, enter: Enter, tmp_path: Path, shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "second"):
        study = make_study(base=MODEL, seeds=[len(name)])
        records = StudyRecords.create_or_open(tmp_path / name, study, "data")
        enter(records, study, 0, {}, "completed", seed=len(name), epoch=4, metrics={"probe.top1": 0.7})
        sync(records, shared)
    with rebuilt("t", shared) as again:
        assert again.spec["seeds"] == [len("second")]
    assert "2 studies of this name" in caplog.text


@pytest.mark.parametrize(
    ("name", "uri", "words"),
    [
        ("gone", "shared", "gone: neither a directory nor an experiment in sqlite:"),
        ("Default", "shared", "holds no study"),
        ("t", "nowhere", "a store that exists"),
        ("t", "http://user:secret@127.0.0.1:9", "does not give it"),
    ],
)
def test_what_is_not_there_is_one_line(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, uri: str, words: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    given = {"shared": shared, "nowhere": f"sqlite:///{tmp_path / 'none.db'}"}.get(uri, uri)
    with pytest.raises(ConfigError, match=words) as caught, rebuilt(name, given):
        pass
    (line,) = caught.value.problems
    assert "secret" not in line
    assert not (tmp_path / "none.db").exists()


def test_a_name_from_a_server_stays_a_name(make_study: MakeStudy, enter: Enter, tmp_path: Path, shared: str) -> None:
    records = make_records(make_study, enter, tmp_path / "study")
    sync(records, shared)
    client = MlflowClient(tracking_uri=shared)
    run = records.trials()[0].mlflow_run_id
    assert run is not None
    client.set_tag(run, "hjepa.trial", "../../outside")
    with pytest.raises(ConfigError, match="no name of a trial"), rebuilt("t", shared):
        pass
