"""Claims: terms at weight 0 leave a step as it was, bit for bit, and a term that is on leaves the other draws and
weights; every term reaches the encoder; log variances have their own rate and no decay; measuring the gradients
of the terms changes nothing; batch statistics refuse a batch in parts."""

import numpy as np
import pytest
import torch

from hjepa.overrides import ConfigError, load_config
from hjepa.training import Run, build

pytestmark = pytest.mark.slow

TINY = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "optim.batch_size=32",
    "training.epochs=1",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]
TWO = "views.globals=2"
LEJEPA = ["objective.jepa_weight=0", TWO, "objective.invariance.weight=0.95", "objective.sigreg.weight=0.05"]
NAMES = ("vicreg", "cjepa", "ntxent", "sigreg", "invariance")


def make(*overrides: str) -> Run:
    return build(load_config(None, [*TINY, *overrides]))


def images(run: Run) -> torch.Tensor:
    return next(iter(run.dataset.train.batches([np.arange(run.config.optim.batch_size)])))


def test_weights_of_zero_change_nothing() -> None:
    absent, zero = make(), make(*(f"objective.{name}.weight=0" for name in NAMES), "objective.projector.layers=0")
    for step in (1, 2):
        reports = [run.step(images(run), step) for run in (absent, zero)]
        assert {k: float(v) for k, v in reports[0].items()} == {k: float(v) for k, v in reports[1].items()}
    ours, theirs = absent.model.state_dict(), zero.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def plain() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor | float]]:
    """Weights at the start and the first report of two views without any such term."""
    run = make(TWO)
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    return start, run.step(images(run), 1, measure=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_term_leaves_the_rest_of_the_step_as_it_was(
    plain: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor | float]], name: str
) -> None:
    hybrid = make(TWO, f"objective.{name}.weight=0.1", "objective.projector.layers=2")
    (common, first), start = plain, hybrid.model.state_dict()
    assert all(torch.equal(value, start[key]) for key, value in common.items())
    assert {key.split(".")[0] for key in start.keys() - common.keys()} == {"projector"}
    second = hybrid.step(images(hybrid), 1, measure=True)
    assert float(first["loss"]) == float(second["loss.jepa"])
    assert float(first["encoder_gradient.jepa"]) == float(second["encoder_gradient.jepa"])
    assert float(second[f"encoder_gradient.{name}"]) > 0


@pytest.mark.parametrize(
    "settings",
    [
        ["objective.vicreg.weight=1", "objective.vicreg.on=context"],
        ["objective.sigreg.weight=1", "objective.sigreg.on=prediction", "objective.projector.layers=1"],
        ["objective.cjepa.weight=1", "objective.cjepa.on=predicted_block_pairs"],
        ["objective.cjepa.weight=1", "objective.cjepa.on=two_views", TWO],
        ["objective.ntxent.weight=1", "objective.ntxent.on=context", TWO],
        ["objective.invariance.weight=1", "views.locals=2", "views.local_mode=embedding", "views.local_size=4"],
    ],
    ids=lambda settings: settings[0].split(".")[1],
)
def test_a_term_reaches_the_encoder_from_wherever_it_acts(settings: list[str]) -> None:
    run = make(*settings)
    name = settings[0].split(".")[1]
    report = run.step(images(run), 1, measure=True)
    assert float(report[f"encoder_gradient.{name}"]) > 0 and np.isfinite(float(report["loss"]))


def test_lejepa_has_no_predictor_and_no_target_and_its_loss_falls() -> None:
    run = make(*LEJEPA, "objective.projector.layers=2", "optim.lr=3e-3", "optim.warmup=0")
    assert run.model.target_encoder is None and not len(run.model.predictors)
    losses = [float(run.step(images(run), 1)["loss"]) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


def test_log_variances_have_their_own_rate_and_a_floor() -> None:
    run = make("objective.weighting=kendall", "objective.kendall_lr=0.125", "optim.weight_decay=0.5")
    report = run.step(images(run), 1)
    values = run.model.log_variances.values  # type: ignore[union-attr]
    # The losses are below 1, so s falls, by Adam's first step: the rate.
    assert torch.allclose(values, torch.full((3,), -0.125), atol=1e-5)
    assert float(report["weight.level0"]) == 0.5
    assert float(run.step(images(run), 2)["weight.level0"]) == pytest.approx(0.5 * np.exp(0.125), rel=1e-4)
    groups = [group for group in run.optimiser.param_groups if values is group["params"][0]]
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.125, 0.0)]
    assert sum(len(group["params"]) for group in run.optimiser.param_groups) == len(run.model.trainable())
    with torch.no_grad():
        values.fill_(-9.0)
    assert float(run.step(images(run), 3)["weight.level0"]) == pytest.approx(0.5 * np.exp(5.0), rel=1e-4)


def test_kendall_adds_up_over_micro_batches() -> None:
    whole, parts = (make("objective.weighting=kendall", *extra) for extra in ([], ["runtime.micro_batch=8"]))
    a, b = whole.step(images(whole), 1, measure=True), parts.step(images(parts), 1, measure=True)
    for name in ("loss", "weight.level1", "encoder_gradient.jepa", "gradient_norm"):
        assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4)


def test_measuring_changes_nothing_and_one_term_is_the_whole_gradient() -> None:
    settings = ["objective.vicreg.weight=0.1", "objective.projector.layers=2"]
    quiet, measured = make(*settings), make(*settings)
    for step in (1, 2):
        quiet.step(images(quiet), step)
        measured.step(images(measured), step, measure=True)
    ours, theirs = quiet.model.state_dict(), measured.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    alone = make("optim.clip_norm=null")
    seen: list[torch.Tensor] = []
    optimise = alone.optimiser.step

    def step_and_see() -> None:
        seen.extend(p.grad.flatten() for p in alone.model.encoder.parameters() if p.grad is not None)
        optimise()

    alone.optimiser.step = step_and_see  # type: ignore[method-assign]
    report = alone.step(images(alone), 1, measure=True)
    assert float(report["encoder_gradient.jepa"]) == pytest.approx(float(torch.cat(seen).norm()), rel=1e-5)


@pytest.mark.parametrize("parts", ["runtime.micro_batch=8", "optim.batch_schedule=linear"])
@pytest.mark.parametrize(
    "setting",
    [
        *(f"objective.{name}.weight=0.1" for name in NAMES if name != "invariance"),
        "objective.weighting=uwso",
        "objective.projector.layers=2",
    ],
)
def test_batch_statistics_refuse_a_batch_in_parts(setting: str, parts: str) -> None:
    settings = [*TINY, TWO, "objective.invariance.weight=0.1", setting]
    load_config(None, settings)
    with pytest.raises(ConfigError) as caught:
        load_config(None, [*settings, parts])
    (line,) = caught.value.problems
    path, _, value = parts.partition("=")
    assert line.startswith(f"{path}: got {value}; allowed") and "which sees the whole batch" in line


def test_invariance_adds_up_over_micro_batches() -> None:
    settings = [TWO, "objective.invariance.weight=1", "objective.projector.layers=2", "objective.projector.norm=layer"]
    whole, parts = make(*settings), make("runtime.micro_batch=8", *settings)
    a, b = whole.step(images(whole), 1), parts.step(images(parts), 1)
    assert float(a["loss.invariance"]) == pytest.approx(float(b["loss.invariance"]), rel=1e-5)
    assert float(a["gradient_norm"]) == pytest.approx(float(b["gradient_norm"]), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        (["objective.ntxent.weight=0.1"], "objective.ntxent.weight: got 0.1; allowed 0"),
        (["objective.invariance.weight=1"], "objective.invariance.weight: got 1; allowed 0"),
        (["objective.cjepa.weight=1", "objective.cjepa.on=two_views"], "objective.cjepa.on: got two_views; allowed"),
        (["objective.projector.layers=2"], "objective.projector.layers: got 2; allowed 0"),
        (
            ["objective.vicreg.weight=1", "objective.vicreg.std=0", "objective.vicreg.cov=0"],
            "objective.vicreg.std: got 0",
        ),
        (
            ["objective.cjepa.weight=1", "objective.cjepa.on=predicted_block_pairs", "masks.strategy=random"],
            "objective.cjepa.on: got predicted_block_pairs; allowed",
        ),
        ([*LEJEPA, "objective.sigreg.on=context"], "objective.sigreg.on: got context; allowed view"),
        ([*LEJEPA, "objective.cjepa.weight=1"], "objective.cjepa.on: got context_mean; allowed no C-JEPA"),
        (
            ["target.features=pixels", "objective.cjepa.weight=1", "objective.projector.layers=2"],
            "objective.projector.layers: got 2; allowed 0",
        ),
    ],
)
def test_a_term_without_anything_to_act_on_is_refused(settings: list[str], start: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, settings)
    (line,) = caught.value.problems
    assert line.startswith(start)
