"""A trial's identity is the hash of what decides its score, whatever the spelling; its YAML makes it again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hjepa.config import Config
from hjepa.overrides import ConfigError, Knob, canonical, differences, identity, knobs, load_config, to_yaml, yaml12
from hjepa.overrides.resolve import Layer, flatten, resolve
from tests import effect_gate as gate


def named(*overrides: str) -> str:
    return identity(load_config(None, overrides), "data")


@pytest.mark.parametrize("knob", knobs().values(), ids=lambda knob: knob.path)
def test_what_decides_the_score_is_in_the_hash_and_nothing_else(knob: Knob) -> None:
    (scene, *_) = gate.scenes(knob)
    base, flip = gate.pair(knob, scene)
    layers = [Layer("base", base), Layer("flip", flip)]
    before, after = (identity(resolve(part), "data") for part in (layers[:1], layers))
    assert (before != after) == (knob.effect in ("training", "evaluation"))


def test_spellings_of_one_run_agree() -> None:
    assert named("model.size=micro") == named("model.size=null", "model.width=64", "model.depth=3", "model.heads=2")
    assert named() == named("objective.level_weights=[1, 0.7, 0.5]")
    assert named() == named("evaluation.interval=1")
    assert named("optim.clip_norm=1") == named("optim.clip_norm=1.0")


def test_data_and_epochs_are_part_of_it() -> None:
    assert identity(Config(), "a") != identity(Config(), "b")
    assert named() != named("training.epochs=21")
    assert len(named()) == 16


def test_dead_fields_are_not_part_of_it() -> None:
    assert "views.color_jitter" not in canonical(Config())
    assert "objective.level_weights" not in canonical(load_config(None, ["hierarchy.levels=1"]))


@given(st.lists(st.sampled_from(sorted(knobs())), max_size=4, unique=True))
def test_yaml_makes_the_same_config_again(paths: list[str]) -> None:
    values = {path: knobs()[path].flip for path in paths}
    for path in paths:
        values |= knobs()[path].together
    try:
        config = resolve([Layer("some", values)])
    except ConfigError:
        return  # this mixture cannot be
    assert resolve([Layer("again", flatten(yaml12.parse(to_yaml(config))))]) == config


def test_yaml_holds_only_what_differs() -> None:
    assert to_yaml(Config()) == "{}\n"
    assert differences(load_config(None, ["optim.lr=2e-4", "seed=0"])) == {"optim.lr": 2e-4}
