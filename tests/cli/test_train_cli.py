"""`hjepa-train` runs one experiment, says where its results are, goes on after Ctrl-C, refuses mistakes in one line."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.cli.errors import run_app
from hjepa.cli.progress import TrainingProgress
from hjepa.cli.train import app
from hjepa.overrides import nest, yaml12
from tests.effect_gate import BASE

Invoke = Callable[..., tuple[int, str, str]]
#: The gate's run with two steps an epoch, a rung and a checkpoint after each.
TINY = BASE | {"data.train_size": 100, "evaluation.interval": 1, "runtime.checkpoint_interval": 1}


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """`hjepa-train` in a folder that holds tiny.yaml: exit code, stdout, stderr."""
    (tmp_path / "tiny.yaml").write_text(yaml12.dump(nest(TINY)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HJEPA_DATA", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_app(app, "hjepa-train", words)
        out = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.out, out.err

    return call


def result(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return read


def test_a_run_says_on_what_it_ran_what_it_is_worth_and_where_it_is(invoke: Invoke, tmp_path: Path) -> None:
    code, out, err = invoke("tiny.yaml", "training.epochs=1", "optim.lr=2e-4")
    assert code == 0
    assert "cpu, 1 threads, fp32, attention" in err
    assert "epoch 1: probe.top1" in err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == f"tiny-{result(folder)['identity'][:8]}"
    assert yaml12.read(folder / "experiment.yaml")["optim"]["lr"] == 2e-4
    score = result(folder)["score"]
    assert f"{'trained encoder':20}{score:17.4f}" in out
    assert "raw pixels" in out and "untrained encoder" in out
    assert str(folder.relative_to(tmp_path)) in out
    assert not (folder / "test.json").exists()


def test_the_test_split_is_scored_only_on_request(invoke: Invoke, tmp_path: Path) -> None:
    code, out, _ = invoke("tiny.yaml", "training.epochs=1", "--output", "out", "--test")
    assert code == 0
    assert "test.probe.top1" in json.loads((tmp_path / "out" / "test.json").read_text())
    assert "test.json" in out


def test_a_directory_that_holds_a_run_is_left_alone(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("")
    code, _, err = invoke("tiny.yaml", "--output", "held")
    assert code == 2
    assert err == (
        "error: --output: held holds a run already; --resume held continues it, another --output DIR starts anew\n"
    )
    assert [path.name for path in folder.iterdir()] == ["metrics.jsonl"]
    code, _, err = invoke("tiny.yaml", "--output", "tiny.yaml")
    assert (code, err) == (2, "error: --output: got tiny.yaml; allowed a directory (this is a file)\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tiny.yaml", "optim.lrr=1"], "error: optim.lrr: unknown key"),
        (["tiny.yaml", "optim.lr=-1"], "error: optim.lr: got -1; allowed greater than 0 (command line)"),
        (["tiny.yaml", "masks.context_tokens=64"], "error: masks.context_tokens: got 64; allowed at most"),
        (["tiny.yaml", "runtime.attention=cudnn"], "error: runtime.attention: got cudnn; allowed auto, eager, math"),
        (["tiny.yaml", "data.dataset=cifar10"], "error: data.dataset: cifar10 is missing"),
        (["tiny.yaml", "data.train_size=9999"], "error: data.train_size: got 9999; allowed at most"),
        (["missing.yaml"], "error: missing.yaml: no such file"),
        ([], "error: FILE: missing; allowed an experiment file, or --resume DIR"),
        (["--resume", "nowhere"], "error: --resume: got nowhere; allowed a run's directory"),
        (["tiny.yaml", "--resume", "out"], "error: --resume: takes its settings from the run"),
        (["--resume", "out", "--output", "other"], "error: --resume: takes its settings from the run"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    invoke: Invoke, tmp_path: Path, words: list[str], line: str
) -> None:
    code, out, err = invoke(*words)
    assert code == 2
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.yaml"]


def test_ctrl_c_names_the_command_that_goes_on_to_the_same_result(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("tiny.yaml", "--output", "whole")[0] == 0

    def pressed(self: TrainingProgress, metrics: dict[str, Any]) -> None:
        if metrics["epoch"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "scores", pressed)
        code, _, err = invoke("tiny.yaml", "--output", "with space")
    assert code == 130
    said = err.strip().splitlines()[-1]
    assert said == "interrupted; continue with: hjepa-train --resume 'with space'"
    assert result(tmp_path / "with space")["state"] == "interrupted"

    assert invoke(*shlex.split(said.partition("hjepa-train ")[2]))[0] == 0
    whole, resumed = result(tmp_path / "whole"), result(tmp_path / "with space")
    assert resumed["state"] == "completed"
    for part in ("score", "metrics", "floor", "identity", "epoch", "rung"):
        assert resumed[part] == whole[part], part
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "with space")]
    assert [json.loads(line)["step"] for line in lines[0]] == [json.loads(line)["step"] for line in lines[1]]


def test_a_diverged_run_is_no_success(invoke: Invoke, tmp_path: Path) -> None:
    code, out, _ = invoke("tiny.yaml", "optim.lr=1e30", "optim.clip_norm=null", "--output", "out")
    assert code == 1
    assert out.startswith("diverged at epoch 0: the loss is ")
    assert result(tmp_path / "out")["score"] is None


def test_help_shows_examples(invoke: Invoke) -> None:
    code, out, _ = invoke("--help")
    assert code == 0
    assert "hjepa-train --resume runs/layer_scale" in out


@pytest.mark.slow
def test_a_real_interrupt(tmp_path: Path) -> None:
    """SIGINT in the middle of training ends the process within seconds, without a traceback."""
    (tmp_path / "tiny.yaml").write_text(yaml12.dump(nest(TINY)))
    code = "from hjepa.cli.train import main; main()"
    words = [sys.executable, "-c", code, "tiny.yaml", "training.epochs=100000", "--output", "out"]
    # A background shell starts its children deaf to SIGINT; a person's terminal does not.
    deaf = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, deaf)
    with process:
        try:
            while not (tmp_path / "out" / "checkpoint.pt").exists():
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.strip().endswith("interrupted; continue with: hjepa-train --resume out")
    assert "Traceback" not in err
