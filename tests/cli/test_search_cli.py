"""The command line: reports alone on stdout, each mistake one line on stderr with exit code 2, nothing written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hjepa.cli.search import main
from hjepa.config import Config
from hjepa.overrides import ConfigError, knobs, load_config
from hjepa.runtime.files import write_json
from hjepa.search.records import StudyRecords, TrialRecord
from hjepa.search.study import Study, config_hash

ROOT = Path(__file__).parents[2]
STUDY = "study: t\nbudget: {trials: 3, epochs: 2}\nspace:\n  optim.lr: {log_uniform: [1.0e-4, 1.0e-2]}\n"
FILES = sorted([*ROOT.glob("experiments/**/*.yaml"), *ROOT.glob("search_spaces/*.yaml")])


def call(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


MISTAKES = [
    (STUDY.replace("space:", "spaces:"), "spaces: unknown key"),
    (STUDY.replace("optim.lr", "optim.learning"), "unknown field"),
    (STUDY.replace("1.0e-4", "-1.0"), "above 0"),
    (STUDY.replace("log_uniform", "log"), "unknown key"),
    (STUDY.replace("  optim.lr: {log_uniform: [1.0e-4, 1.0e-2]}\n", "  {}\n"), "at least one dimension"),
    (STUDY + "objective: {metric: probe.top5}\n", "objective.metric: got probe.top5"),
    (STUDY + "base: {model.patch_size: 8, hierarchy.levels: 4}\n", "hierarchy.levels"),
    (STUDY + "base: {optim.lr: fast}\n", "optim.lr: got fast"),
    (STUDY + "base: gone.yaml\n", "base: got gone.yaml"),
    (STUDY + "resources: {cpus: 100000}\n", "resources.cpus"),
    ("study: [\n", "not readable as YAML"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (tmp_path / "study.yaml").write_text(text)
    assert call(["plan", "study.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[:7] for line in err.splitlines()] == ["error: "]
    assert words in err
    assert os.listdir(tmp_path) == ["study.yaml"]


def test_a_mistake_leaves_no_traceback_in_a_real_process(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "sampla: {}\n")
    command = [sys.executable, "-c", "from hjepa.cli.search import main; main()", "check", "study.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "did you mean sampler?" in done.stderr


def test_masks_that_no_grid_can_hold_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + "base: {masks.context_tokens: 100000}\n")
    assert call(["check", "study.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_check_names_what_is_wrong_in_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.yaml").write_text(STUDY)
    (tmp_path / "bad.yaml").write_text("optim: {lrr: 1}\n")
    assert call(["check", "good.yaml", "bad.yaml", "gone.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == "good.yaml: a study, correct\n"
    assert len(err.splitlines()) == 2
    assert "optim.lrr: unknown key" in err
    assert "gone.yaml: no such file" in err


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_the_project_is_correct(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", str(path)]) == 0
    assert capsys.readouterr().out.endswith("correct\n")


def test_plan_prints_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    assert (
        call(["plan", "study.yaml", "--trials", "2", "--epochs", "9", "--set", "optim.batch_size=32", "--no-calibrate"])
        == 0
    )
    out = capsys.readouterr().out
    assert "2 = 2 configurations" in out
    assert "9 a trial" in out
    assert "results      runs/t" in out
    assert os.listdir(tmp_path) == ["study.yaml"]


def test_plan_measures_what_the_study_would_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(
        STUDY + "base: {data.train_size: 100, model.size: micro, optim.batch_size: 50}\n"
    )
    assert call(["plan", "study.yaml"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^time         about .* for 3 trials, \d+ at once", out, flags=re.MULTILINE)
    assert re.search(r"^device-hours about [\d.e-]+$", out, flags=re.MULTILINE)
    assert "1 of 1 cost classes measured here" in out
    assert "calibrating 1 of 1: baseline" in err
    assert os.listdir(tmp_path) == ["study.yaml"]


def test_plan_without_its_data_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HJEPA_DATA", raising=False)
    (tmp_path / "study.yaml").write_text(STUDY + "base: {data.dataset: cifar10}\n")
    assert call(["plan", "study.yaml"]) == 0
    assert "time         not estimated: " in capsys.readouterr().out


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A study of one completed trial."""
    (tmp_path / "study.yaml").write_text(STUDY)
    study = Study.load(tmp_path / "study.yaml")
    records = StudyRecords.create_or_open(tmp_path / "runs" / "t", study)
    name = config_hash(study.config({}, 0), "d")
    folder = records.folder("one-s0")
    records.write_trial(TrialRecord("one-s0", 0, name, "baseline", 0, {}, "pending", folder))
    environment = {"device": "cpu", "threads": 1, "precision": "fp32", "attention": "math"}
    content = {"state": "completed", "epoch": 2, "metrics": {"probe.top1": 0.5}, "environment": environment}
    write_json(folder / "result.json", content)
    return records.directory


def test_report_prints_only_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "trials" / "one-s0" / "result.json").write_text("{")  # a warning must not reach stdout
    assert call(["report", str(directory), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["trials"][0]["state"] == "pending"


@pytest.mark.parametrize("style", ["table", "csv", "markdown"])
def test_report_has_other_formats(directory: Path, capsys: pytest.CaptureFixture[str], style: str) -> None:
    assert call(["report", str(directory), "--format", style]) == 0
    out, err = capsys.readouterr()
    assert "one-s0" in out
    assert err == ""


def test_report_writes_a_file_and_its_figures(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["report", str(directory), "--format", "latex", "--output", "t.tex", "--plots", "figures"]) == 0
    out, err = capsys.readouterr()
    assert out == "t.tex: t as latex\n"
    assert "effects: left out, a search compares when it is confirmed" in err
    assert "\\toprule" in Path("t.tex").read_text()


def test_report_of_no_study_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["report", "nowhere"]) == 2
    line = "error: nowhere: no such directory; allowed the directory of a study that has run, or with --tracking-uri"
    assert capsys.readouterr().err == f"{line} the name of an MLflow experiment\n"


def test_export_writes_a_file_that_loads(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["export", str(directory), "--best", "--output", "best.yaml"]) == 0
    assert "hjepa-train best.yaml" in capsys.readouterr().out
    assert load_config("best.yaml").runtime.threads == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output", "best.yaml"],
        ["--best", "--trial", "one-s0", "--output", "best.yaml"],
        ["--trial", "nope", "--output", "best.yaml"],
        ["--best"],
    ],
)
def test_export_refuses_in_one_line(directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert call(["export", str(directory), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("best.yaml").exists()


def test_features_lists_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["features", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["path"] for row in rows] == list(knobs())
    jitter = next(row for row in rows if row["path"] == "views.color_jitter")
    assert (jitter["when"], jitter["effect"]) == ({"views.augmentation": ["three_augment"]}, "training")
    for style in ("table", "markdown"):
        assert call(["features", "--format", style]) == 0
        assert all(path in capsys.readouterr().out for path in ["views.color_jitter"])


@pytest.mark.parametrize(("arguments", "key"), [([], "optim"), (["--study"], "sampler")])
def test_schema_is_json_schema(capsys: pytest.CaptureFixture[str], arguments: list[str], key: str) -> None:
    assert call(["schema", *arguments]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert key in schema["properties"]
    assert schema["additionalProperties"] is False
    if key == "sampler":
        paths = schema["properties"]["space"]["propertyNames"]["enum"]
        assert "optim.lr" in paths
        assert not {"seed", "training.epochs", "runtime.threads"} & set(paths)


def test_version_and_help_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hjepa-search ")
    for command in ("check", "plan", "run", "status", "report", "confirm", "export", "ui", "schema", "features"):
        assert call([command, "--help"]) == 0
        assert "Example: hjepa-search" in capsys.readouterr().out


def test_a_machine_that_cannot_train_a_choice_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(config: Config) -> None:
        if config.optim.lr == 1e-2:
            raise ConfigError(["too fast"])

    monkeypatch.setattr("hjepa.training.check", refuse)
    (tmp_path / "study.yaml").write_text(STUDY)
    assert call(["check", "study.yaml"]) == 2
