"""Scores are deterministic, leave the encoder alone, fit on training images only, and leave the test split shut."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hjepa.config import EvaluationConfig, ViewsConfig
from hjepa.data import Dataset, ImageSource, Views
from hjepa.evaluation import CollapseMonitor, Evaluator, extract
from hjepa.overrides import ConfigError
from hjepa.runtime.device import Device

CPU = Device(torch.device("cpu"), "fp32", 1)
CLASSES = 4


class Shades:
    """Noisy images whose mean grey is their class."""

    def __init__(self, count: int, seed: int) -> None:
        stream = np.random.default_rng(seed)
        self.labels = stream.integers(0, CLASSES, count)
        noise = stream.normal(0, 25, (count, 3, 8, 8))
        self.images = (40 + 55 * self.labels[:, None, None, None] + noise).clip(0, 255).astype(np.uint8)
        self.read: set[int] = set()

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, index_lists: Sequence[np.ndarray]) -> Iterator[Tensor]:
        for index in index_lists:
            self.read.update(index.tolist())
            yield torch.from_numpy(self.images[index])


class TinyEncoder(nn.Module):
    """Two layers with dropout, which is off in evaluation only."""

    def __init__(self, *, constant: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.Dropout(0.5), nn.BatchNorm1d(16))
        with torch.no_grad():
            self.layers[1].bias.zero_()
            self.layers[1].weight.copy_(torch.randn(16, 192, generator=torch.Generator().manual_seed(0)) / 14)
        self.constant = constant
        self.modes: list[bool] = []

    def features(self, images: Tensor, kind: Literal["last", "last4"]) -> Tensor:
        self.modes.append(self.layers[3].training)
        features: Tensor = self.layers(images)
        features = features[:1].expand(len(images), -1) * 0 + 1 if self.constant else features
        return features.repeat(1, 4) if kind == "last4" else features


def refuse_test() -> ImageSource:
    raise AssertionError("the test split was opened")


def dataset(test: Shades | None = None) -> Dataset:
    fit = Shades(400, 0)
    return Dataset("shades", CLASSES, "0", fit, fit, Shades(200, 1), (lambda: test) if test else refuse_test)


def evaluator(data: Dataset, **config: object) -> Evaluator:
    settings = {"rung_train": 100, "rung_holdout": 60, "knn_k": 5, **config}
    return Evaluator(EvaluationConfig.model_validate(settings), data, Views(ViewsConfig(size=8)), CPU)


@pytest.mark.parametrize("few", [{}, {"labels_per_class": 3, "draws": 4}])
def test_scores_are_deterministic_and_named(few: dict[str, int]) -> None:
    first, second = (
        (e := evaluator(dataset(), **few)).rung(TinyEncoder()) | e.full(TinyEncoder()) | e.pixels() for _ in "ab"
    )
    assert first == second
    names = {
        "probe_rung.top1",
        "knn_rung.top1",
        "probe.top1",
        "knn.top1",
        "probe.c",
        "pixels.probe.top1",
        "pixels.knn.top1",
    }
    names |= {"features.std", "features.effective_rank", "features.rankme", "features.cosine"}
    assert names <= set(first)
    assert ("probe.std" in first) == bool(few)
    assert all(type(value) is float and np.isfinite(value) for value in first.values())
    assert first["pixels.probe.top1"] > 0.8


@pytest.mark.parametrize("kind", ["last", "last4"])
def test_encoder_is_left_as_it_was(kind: Literal["last", "last4"]) -> None:
    encoder = TinyEncoder().train()
    encoder.layers[4].eval()  # modes are restored module by module
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    modes = [module.training for module in encoder.modules()]
    evaluator(dataset(), features=kind).rung(encoder)
    assert [module.training for module in encoder.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert encoder.modes and not any(encoder.modes)


def test_features_are_rows_in_the_order_asked() -> None:
    source, views, encoder = Shades(600, 3), Views(ViewsConfig(size=8)), TinyEncoder()
    order = np.random.default_rng(0).permutation(600)
    features = extract(encoder, source, order, views, CPU, "last")
    assert features.dtype == np.float32 and features.shape == (600, 16)
    some = extract(encoder, source, order[[5, 300, 599]], views, CPU, "last")
    np.testing.assert_allclose(features[[5, 300, 599]], some, rtol=1e-5, atol=1e-6)


def test_features_that_are_not_finite_are_refused() -> None:
    encoder = TinyEncoder()
    nn.init.constant_(encoder.layers[4].weight, torch.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        evaluator(dataset()).rung(encoder)


def test_rung_reads_no_more_than_it_says() -> None:
    data = dataset()
    evaluator(data).rung(TinyEncoder())
    assert data.fit.read == set(range(100)) and data.holdout.read == set(range(60))


def test_few_labels_read_only_the_drawn_images() -> None:
    data = dataset()
    evaluator(data, labels_per_class=3, draws=4).full(TinyEncoder())
    assert len(data.fit.read) <= 3 * CLASSES * 4


def test_larger_limits_take_what_exists() -> None:
    scores = evaluator(dataset(), rung_train=5000, rung_holdout=5000)
    rung, full = scores.rung(TinyEncoder()), scores.full(TinyEncoder())
    assert (rung["probe_rung.top1"], rung["knn_rung.top1"]) == (full["probe.top1"], full["knn.top1"])


@pytest.mark.parametrize("few", [{}, {"labels_per_class": 3, "draws": 4}])
def test_only_test_opens_the_test_split(few: dict[str, int]) -> None:
    with pytest.raises(AssertionError, match="was opened"):
        evaluator(dataset(), **few).test(TinyEncoder())
    held_out = dataset()
    as_test = evaluator(dataset(test=held_out.holdout), **few).test(TinyEncoder())
    full = evaluator(held_out, **few).full(TinyEncoder())
    assert as_test == {"test.probe.top1": full["probe.top1"], "test.knn.top1": full["knn.top1"]}


def test_hold_out_labels_move_the_score_not_the_probe() -> None:
    data, relabelled = dataset(), dataset()
    relabelled.holdout.labels = np.random.default_rng(0).permutation(relabelled.holdout.labels)
    plain, other = evaluator(data).full(TinyEncoder()), evaluator(relabelled).full(TinyEncoder())
    assert plain["probe.c"] == other["probe.c"]
    assert plain["probe.top1"] > 0.6 > other["probe.top1"]


def test_random_training_labels_give_chance() -> None:
    data = dataset()
    data.fit.labels = np.random.default_rng(0).permutation(data.fit.labels)
    assert evaluator(data).full(TinyEncoder())["probe.top1"] == pytest.approx(1 / CLASSES, abs=0.15)


def test_constant_encoder_raises_the_alarm_and_an_untrained_one_does_not() -> None:
    scores = evaluator(dataset())
    for constant in (True, False):
        monitor = CollapseMonitor()
        monitor.start(scores.rung(TinyEncoder()))
        for _ in range(3):
            monitor.check(scores.rung(TinyEncoder(constant=constant)), warm=True)
        assert (monitor.alarm is not None) == constant


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"knn_k": 101}, r"^evaluation.knn_k: got 101; allowed 1 to 100 [^\n]*$"),
        ({"knn_k": 13, "labels_per_class": 3}, r"^evaluation.knn_k: got 13; allowed 1 to 12 [^\n]*$"),
        ({"labels_per_class": 60}, r"^evaluation.labels_per_class: got 60; allowed 2 to \d\d [^\n]*$"),
    ],
)
def test_too_few_images_are_refused_at_once(config: dict[str, int], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        evaluator(dataset(), **config)
