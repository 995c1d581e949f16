"""`hjepa-search run` refuses what cannot run in one line each, with exit code 2 and nothing written; `ui` is local."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hjepa.cli import ui as ui_module
from hjepa.cli.search import main
from hjepa.overrides import yaml12

STUDY: dict[str, Any] = {
    "study": "t",
    "base": {"data.train_size": 100},
    "budget": {"trials": 2, "epochs": 1},
    "space": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HJEPA_DATA", raising=False)
    return tmp_path


def run(here: Path, capsys: pytest.CaptureFixture[str], *flags: str, **keys: Any) -> str:
    """The error of a run that must not start."""
    (here / "study.yaml").write_text(yaml12.dump({**STUDY, **keys}))
    with pytest.raises(SystemExit) as end:
        main(["run", "study.yaml", *flags])
    assert end.value.code == 2
    return capsys.readouterr().err


#: Keys of the study file, flags, and a part of the line that refuses them.
REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({"bugdet": {}}, [], "bugdet: unknown key"),
    ({}, ["--set", "optim.lrr=1"], "did you mean optim.lr?"),
    ({}, ["--set", "optim.lr=-1"], "optim.lr: got -1"),
    ({"space": {}}, [], "space: "),
    ({"objective": {"metric": "probe.top2"}}, [], "did you mean probe.top1?"),
    ({"base": {"data.dataset": "cifar10"}}, [], "HJEPA_DATA"),
    ({}, ["--set", "masks.target_scale=[0.9, 0.95]"], "masks"),
    ({"resources": {"cpus": 100000}}, [], "resources.cpus: a trial needs 100000 CPU"),
]


@pytest.mark.parametrize(("keys", "flags", "line"), REFUSED, ids=[line for _, _, line in REFUSED])
def test_a_mistake_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], keys: dict[str, Any], flags: list[str], line: str
) -> None:
    error = run(here, capsys, *flags, **keys)
    problems = [text for text in error.splitlines() if text.startswith("error: ")]
    assert any(line in problem for problem in problems), error
    assert "Traceback" not in error
    assert not (here / "runs").exists()


def test_the_directory_of_another_study_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hjepa.search.records import StudyRecords
    from hjepa.search.study import Study

    (here / "other.yaml").write_text(yaml12.dump({**STUDY, "study": "other"}))
    StudyRecords.create_or_open(here / "runs" / "t", Study.load(here / "other.yaml"), "data")
    before = sorted(path.name for path in (here / "runs" / "t").iterdir())
    assert "holds another study" in run(here, capsys)
    assert sorted(path.name for path in (here / "runs" / "t").iterdir()) == before


def test_ui_serves_the_studys_own_store_on_this_machine_only(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hjepa.search.records import StudyRecords
    from hjepa.search.study import Study

    (here / "study.yaml").write_text(yaml12.dump(STUDY))
    records = StudyRecords.create_or_open(here / "out", Study.load(here / "study.yaml"), "data")
    (records.directory / "mlflow.db").touch()
    asked: list[list[str]] = []

    class Server:
        def __init__(self, command: list[str], env: dict[str, str]) -> None:
            asked.append(command)
            assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"

        def wait(self, timeout: float | None = None) -> int:
            return 0

    monkeypatch.setattr(ui_module.subprocess, "Popen", Server)
    with pytest.raises(SystemExit) as end:
        main(["ui", "out", "--port", "5123"])
    assert end.value.code == 0
    assert asked[0][:4] == [sys.executable, "-m", "mlflow", "ui"]
    assert asked[0][4:8] == ["--host", "127.0.0.1", "--port", "5123"]
    assert f"sqlite:///{here / 'out' / 'mlflow.db'}" in asked[0]


def test_ui_of_a_study_that_was_tracked_elsewhere_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["ui", "nowhere"])
    assert end.value.code == 2
    assert "nowhere: no such directory" in capsys.readouterr().err


def test_help_loads_no_engine() -> None:
    code = "import sys; sys.argv = ['x', 'run', '--help']\nfrom hjepa.cli.search import main\ntry:\n    main()\n"
    code += "finally:\n    print([name for name in ('torch', 'ray', 'optuna', 'mlflow') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip().endswith("[]")
