"""Claims: with evaluation.soup the last epochs' weights lie on disk, the full probe and the saved encoder are
their average, and training is as without it; a run resumes only with its weights; other runs' are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import hjepa
from hjepa.config import Config
from hjepa.evaluation import uniform_soup
from hjepa.overrides import ConfigError, load_config
from hjepa.training import Silent, checkpoint, soup, train

pytestmark = pytest.mark.slow

TINY = [
    "model.size=null",
    "model.width=16",
    "model.depth=1",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "data.train_size=200",
    "optim.batch_size=40",
    "optim.lr=1e-2",
    "ema.start=0.5",
    "training.epochs=4",
    "runtime.device=cpu",
    "runtime.threads=1",
    "evaluation.rung_train=60",
    "evaluation.rung_holdout=40",
    "evaluation.interval=1",
]


def config(*overrides: str) -> Config:
    return load_config(None, [*TINY, *overrides])


def kept(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "weights").iterdir())


@pytest.fixture(scope="module")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that averages its last three epochs."""
    directory = tmp_path_factory.mktemp("uniform")
    train(config("evaluation.soup=uniform", "evaluation.average_last=3"), directory, test=True)
    return directory


def test_the_saved_encoder_is_the_mean_of_the_last_epochs(uniform: Path) -> None:
    assert kept(uniform) == ["epoch00002.pt", "epoch00003.pt", "epoch00004.pt"]
    ingredients = soup.load([uniform / "weights" / name for name in kept(uniform)])
    expected = uniform_soup(ingredients)
    stored = checkpoint.load(uniform / "checkpoint.pt")[1]
    loaded = hjepa.load_encoder(uniform).encoder.state_dict()
    for name, value in loaded.items():
        assert torch.equal(value, expected[name])
        assert torch.equal(ingredients[-1][name], stored[f"target_encoder.{name}"])
    assert not torch.equal(loaded["patch_embed.weight"], stored["target_encoder.patch_embed.weight"])


def test_it_changes_the_full_score_alone(uniform: Path, tmp_path: Path) -> None:
    train(config(), tmp_path, test=True)
    ours, theirs = (json.loads((folder / "result.json").read_text())["metrics"] for folder in (uniform, tmp_path))
    assert ours["probe_rung.top1"] == theirs["probe_rung.top1"]
    stored, plain = (checkpoint.load(folder / "checkpoint.pt")[1] for folder in (uniform, tmp_path))
    assert all(torch.equal(value, plain[name]) for name, value in stored.items())
    assert not (tmp_path / "weights").exists()
    keys = ("probe.top1", "knn.top1", "probe.c")
    assert [ours[key] for key in keys] != [theirs[key] for key in keys]


def test_the_test_score_is_the_averages(uniform: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the run had ended before it was asked for."""
    from hjepa.evaluation import Evaluator

    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        Evaluator, "test", lambda _, encoder: {"test.probe.top1": float(seen.append(encoder.norm.weight) or 0)}
    )
    train(config("evaluation.soup=uniform", "evaluation.average_last=3"), uniform, resume=True, test=True)
    assert torch.equal(seen[0].cpu(), hjepa.load_encoder(uniform).encoder.norm.weight)


class Interrupt(Silent):
    def report(self, metrics: dict[str, Any], checkpoint: Path | None) -> bool:
        if metrics["epoch"] == 3:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("kind", ["uniform", "greedy"])
def test_a_resumed_run_averages_the_same(tmp_path: Path, kind: str) -> None:
    settings = config(f"evaluation.soup={kind}", "evaluation.average_last=3")
    whole = train(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "cut", reporter=Interrupt())
    resumed = train(settings, tmp_path / "cut", resume=True)
    assert whole["metrics"] == resumed["metrics"]
    assert ("soup.size" in whole["metrics"]) == (kind == "greedy")


def test_a_run_does_not_resume_without_its_weights(tmp_path: Path) -> None:
    settings = config("evaluation.soup=greedy", "evaluation.average_last=3")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path, reporter=Interrupt())
    (tmp_path / "weights" / "epoch00002.pt").unlink()
    with pytest.raises(ConfigError, match=r"epoch00002\.pt: missing; evaluation\.soup averages it at the end"):
        train(settings, tmp_path, resume=True)


def test_fewer_epochs_are_all_averaged(tmp_path: Path) -> None:
    train(config("evaluation.soup=uniform", "training.epochs=2"), tmp_path)
    assert kept(tmp_path) == ["epoch00001.pt", "epoch00002.pt"]


def test_no_epochs_leave_the_untrained_encoder(tmp_path: Path) -> None:
    result = train(config("evaluation.soup=uniform", "training.epochs=0"), tmp_path, test=True)
    assert result["state"] == "completed" and result["score"] == result["floor"]["probe.top1"]


def test_weights_of_other_seeds_and_runs_are_refused(tmp_path: Path) -> None:
    weights = {"map": torch.ones(2)}
    for name, run, seed in (("a", "one", 0), ("b", "one", 0), ("c", "two", 1), ("d", "three", 0)):
        soup.save(tmp_path / f"{name}.pt", weights, run=run, seed=seed)
    assert len(soup.load([tmp_path / "a.pt", tmp_path / "b.pt"])) == 2
    with pytest.raises(ConfigError, match=r"c\.pt: seeds 0 and 1; allowed weights of one seed"):
        soup.load([tmp_path / "a.pt", tmp_path / "c.pt"])
    with pytest.raises(ConfigError, match=r"d\.pt: runs one and three; allowed weights of one run"):
        soup.load([tmp_path / "a.pt", tmp_path / "b.pt", tmp_path / "d.pt"])


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_unreadable_weights_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        soup.load([tmp_path / "a.pt"])
    assert "\n" not in str(error.value) and "not readable weights" in str(error.value)
    with pytest.raises(ConfigError, match="no such weights"):
        soup.load([tmp_path / "none.pt"])
