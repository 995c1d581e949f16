"""The schema is one table of checked, frozen fields, and combinations that cannot work are refused."""

import pytest
from pydantic import ValidationError

from hjepa.config import LEVEL_WEIGHTS, OBJECTIVES, SIZES, Config, rung_metric
from hjepa.overrides import ConfigError, Knob, knobs, load_config


@pytest.mark.parametrize("knob", knobs().values(), ids=lambda knob: knob.path)
def test_every_field_says_what_it_is_and_names_another_value(knob: Knob) -> None:
    assert knob.doc.endswith(".")
    assert knob.flip != knob.default
    assert set(knob.when) | set(knob.together) <= set(knobs())
    if knob.choices is not None:
        assert knob.flip in knob.choices
        assert knob.default in knob.choices


def test_conditions_are_values_their_field_can_hold() -> None:
    for knob in knobs().values():
        for path, values in knob.when.items():
            choices = knobs()[path].choices
            if choices is not None:
                assert set(values) <= set(choices), knob.path


def test_a_config_is_frozen_and_takes_no_unknown_key() -> None:
    with pytest.raises(ValidationError):
        Config().seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Config.model_validate({"sed": 1})
    with pytest.raises(ValidationError):
        Config.model_validate({"optim": {"lr": float("nan")}})


def test_named_sizes_have_whole_heads() -> None:
    for name, (width, depth, heads) in SIZES.items():
        assert width % heads == 0
        assert width % 4 == 0
        assert load_config(None, [f"model.size={name}"]).model.shape == (width, depth, heads)


def test_derived_values() -> None:
    config = load_config(None, ["views.size=64", "model.patch_size=8", "hierarchy.levels=2", "training.epochs=100"])
    assert config.grid == 8
    assert config.level_weights == LEVEL_WEIGHTS[:2]
    assert config.probe_interval == 5
    assert load_config(None, ["training.epochs=1"]).probe_interval == 1
    assert load_config(None, ["evaluation.interval=7"]).probe_interval == 7
    own = load_config(None, ["hierarchy.levels=2", "objective.level_weights=[0.5,2.0]"])
    assert own.level_weights == (0.5, 2.0)


def test_every_objective_has_a_metric_at_rungs() -> None:
    for metric in OBJECTIVES:
        assert rung_metric(metric) != metric
    with pytest.raises(KeyError):
        rung_metric("loss")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["views.size=30"], "model.patch_size: got 4; allowed divisors of views.size 30"),
        (["model.patch_size=32"], "model.patch_size: got 32; allowed at most 16"),
        (["views.size=8", "hierarchy.levels=4"], "hierarchy.levels: got 4; a 2x2 grid allows at most 2"),
        (["objective.level_weights=[1.0,1.0]"], "objective.level_weights: got 2 weights; allowed 3"),
        (["objective.level_weights=[0.0,0.0,0.0]"], "objective.level_weights: got no positive weight"),
        (["data.dataset=imagefolder"], "data.folder: got null; data.dataset imagefolder needs it"),
        (["data.dataset=imagefolder", "data.folder=x"], "data.image_size: got null; data.dataset imagefolder needs it"),
        (["runtime.micro_batch=7"], "runtime.micro_batch: got 7; allowed divisors of optim.batch_size 256"),
        (["model.size=null"], "model.size: got null; then width, depth and heads must all be given"),
        (
            ["model.size=null", "model.width=20", "model.depth=1", "model.heads=3"],
            "model.heads: got 3; allowed divisors of the width 20",
        ),
        (
            ["model.size=null", "model.width=10", "model.depth=1", "model.heads=2"],
            "model.width: got 10; allowed multiples of 4",
        ),
        (["predictor.width=50"], "predictor.width: got 50; allowed multiples of 4 and of the 3 heads"),
        (["views.crop_scale=[0.5,0.4]"], "views.crop_scale: got [0.5, 0.4]; allowed 0 < low <= high"),
        (["masks.target_scale=[0.0,0.1]"], "masks.target_scale: got [0.0, 0.1]; allowed 0 < low <= high"),
    ],
)
def test_impossible_combinations_are_one_line(overrides: list[str], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(named)
    assert caught.value.problems[0].endswith("(command line)")
