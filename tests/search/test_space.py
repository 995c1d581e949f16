"""A space holds only dimensions that act and values that the configuration accepts; conditions come from the schema."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"optim.lrr": {"choice": [1, 2]}}, r"space\.optim\.lrr: unknown field; .*did you mean optim\.lr\?"),
    ({"lr": {"choice": [1, 2]}}, r"space\.lr: unknown field; .*did you mean optim\.lr\?"),
    ({"seed": {"choice": [0, 1]}}, r"space\.seed: cannot be searched; it is decided by the study's seeds"),
    ({"training.epochs": {"int": [1, 9]}}, r"space\.training\.epochs: cannot be searched; .* --epochs"),
    (
        {"runtime.attention": {"choice": ["math", "eager"]}},
        r"space\.runtime\.attention: cannot .*; use --set runtime.*benchmarks/",
    ),
    ({"optim.lr": [1e-4, 1e-3]}, r"space\.optim\.lr: got \[.*\]; allowed a mapping with one of choice, uniform"),
    (
        {"optim.lr": {"uniform": [0.1, 0.2], "choice": [1]}},
        r"space\.optim\.lr: got choice and uniform; allowed exactly",
    ),
    (
        {"optim.lr": {"log_unifrm": [0.1, 0.2]}},
        r"space\.optim\.lr\.log_unifrm: unknown key; .*did you mean log_uniform",
    ),
    ({"optim.lr": {"choice": []}}, r"space\.optim\.lr\.choice: got \[\]; allowed a list of two or more"),
    ({"optim.lr": {"choice": [0.1, 0.1]}}, r"space\.optim\.lr\.choice: got 0\.1 twice"),
    ({"optim.lr": {"uniform": [0.2, 0.1]}}, r"space\.optim\.lr\.uniform: got \[0\.2, 0\.1\]; allowed \[low, high\]"),
    ({"optim.lr": {"log_uniform": [0, 0.1]}}, r"space\.optim\.lr\.log_uniform: .* above 0"),
    ({"optim.lr": {"uniform": [-1.0, 0.1]}}, r"space\.optim\.lr: got -1\.0; allowed greater than 0"),
    ({"optim.lr": {"log_uniform": [1e-4, 1e-2], "step": 1e-4}}, r"space\.optim\.lr\.step: .* only with uniform or int"),
    ({"optim.lr": {"uniform": [0.1, 0.2], "step": 0.03}}, r"space\.optim\.lr\.step: got 0\.03; allowed a divisor"),
    ({"model.depth": {"uniform": [1, 2]}}, r"space\.model\.depth: got uniform; allowed int or choice"),
    ({"optim.batch_size": {"log_uniform": [8, 64]}}, r"space\.optim\.batch_size: got log_uniform; allowed log_int"),
    ({"model.size": {"int": [1, 2]}}, r"space\.model\.size: got int; allowed choice, as the field is no number"),
    ({"model.size": {"choice": ["tiny", "smal"]}}, r"space\.model\.size: got smal; allowed .*; did you mean small\?"),
    ({"model.drop_path": {"choice": [0.0, 1.5]}}, r"space\.model\.drop_path: got 1\.5; allowed less than 1"),
    ({"model.patch_size": {"choice": [4, 5]}}, r"space\.model\.patch_size: got 5; allowed divisors of views\.size"),
    ({"views.color_jitter": {"uniform": [0.1, 0.5]}}, r"space\.views\.color_jitter: never acts; .*three_augment"),
    (
        {"optim.lr": {"choice": [1, 2], "when": {"optim.lrr": [1]}}},
        r"space\.optim\.lr\.when\.optim\.lrr: unknown field",
    ),
    (
        {"optim.lr": {"choice": [1, 2], "when": {"ema.start": 0.9}}},
        r"space\.optim\.lr\.when\.ema\.start: got 0\.9; .*list",
    ),
    (
        {"optim.lr": {"choice": [1, 2], "when": {"ema.start": [0.1]}}},
        r"space\.optim\.lr: never acts; .*ema\.start is 0\.1",
    ),
]


@pytest.mark.parametrize(("space", "line"), REFUSED)
def test_what_cannot_be_searched_is_refused(make_study: MakeStudy, space: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_study(space=space)
    assert len(caught.value.problems) == 1
    assert re.match(line, caught.value.problems[0])
    assert "study_file.yaml" in caught.value.problems[0]


def test_a_dimension_that_depends_on_another_gets_its_condition_from_the_schema(make_study: MakeStudy) -> None:
    space = make_study().space
    jitter = space["views.color_jitter"]
    assert jitter.when == {"views.augmentation": ("three_augment",)}
    assert jitter.automatic == ("views.augmentation",)
    assert not space.is_active(jitter, {"views.augmentation": "none"})
    assert space.active({"views.color_jitter": 0.2, "views.augmentation": "none"}) == {"views.augmentation": "none"}
    assert space.example(jitter) == {"views.augmentation": "three_augment"}


def test_a_condition_that_the_base_meets_for_good_is_no_condition(make_study: MakeStudy) -> None:
    space = {"views.color_jitter": {"uniform": [0.1, 0.5]}}
    study = make_study(space=space, base={"views.augmentation": "three_augment"})
    assert study.space["views.color_jitter"].when == {}


def test_own_conditions_are_narrowed_to_where_the_field_acts(make_study: MakeStudy) -> None:
    augmentation = {"choice": ["none", "three_augment"]}
    jitter: dict[str, Any] = {"uniform": [0.1, 0.5], "when": {"views.augmentation": ["none", "three_augment"]}}
    space = make_study(space={"views.color_jitter": jitter, "views.augmentation": augmentation}).space
    assert space.paths == ("views.augmentation", "views.color_jitter")  # what a condition reads comes first
    assert space["views.color_jitter"].when == {"views.augmentation": ("three_augment",)}
    jitter["when"] = {"views.augmentation": ["none"]}
    with pytest.raises(ConfigError, match="or the field does nothing"):
        make_study(space={"views.color_jitter": jitter, "views.augmentation": augmentation})


def test_conditions_chain_and_an_inactive_parent_has_no_children(make_study: MakeStudy) -> None:
    space = make_study(
        space={
            "optim.lr": {"choice": [0.001, 0.002]},
            "ema.start": {"choice": [0.9, 0.99], "when": {"optim.lr": [0.002]}},
            "ema.end": {"choice": [0.999, 1.0], "when": {"ema.start": [0.99]}},
        }
    ).space
    assert space.example(space["ema.end"]) == {"optim.lr": 0.002, "ema.start": 0.99}
    assert space.active({"optim.lr": 0.001, "ema.start": 0.99, "ema.end": 1.0}) == {"optim.lr": 0.001}
    assert len(space.grid()) == 3  # 0.001 alone is the baseline; 0.002 with (0.9), (0.99, 0.999), (0.99, 1.0)
    assert space.size() == 4


def test_circular_conditions_are_refused(make_study: MakeStudy) -> None:
    one = {"choice": [0.9, 0.99], "when": {"ema.end": [1.0]}}
    two = {"choice": [0.9, 1.0], "when": {"ema.start": [0.99]}}
    with pytest.raises(ConfigError, match=r"conditions of ema\.end, ema\.start wait for each other"):
        make_study(space={"ema.start": one, "ema.end": two})


def test_two_fields_that_exclude_each_other_are_found_before_anything_runs(make_study: MakeStudy) -> None:
    patches = {"model.patch_size": {"choice": [4, 8]}, "views.size": {"choice": [32, 36]}}
    with pytest.raises(ConfigError, match=r"space: model\.patch_size 8 with views\.size 36 cannot be: .*divisors"):
        make_study(space=patches)
    levels = {"choice": [2, 3]}
    weights: dict[str, Any] = {"choice": [None, [1.0, 1.0, 1.0]]}
    with pytest.raises(ConfigError, match=r"space\.objective\.level_weights: got 3 weights; allowed 2"):
        make_study(space={"hierarchy.levels": levels, "objective.level_weights": weights})
    weights["when"] = {"hierarchy.levels": [3]}
    study = make_study(space={"hierarchy.levels": levels, "objective.level_weights": weights})
    assert study.space.grid() == [
        {"hierarchy.levels": 2},
        {"hierarchy.levels": 3, "objective.level_weights": [1.0, 1.0, 1.0]},
    ]


def test_lists_are_choices(make_study: MakeStudy) -> None:
    study = make_study(space={"views.crop_scale": {"choice": [[0.3, 1.0], [0.6, 1.0]]}})
    assert study.space.grid() == [{"views.crop_scale": [0.6, 1.0]}]
    assert study.config({"views.crop_scale": [0.6, 1.0]}, 0).views.crop_scale == (0.6, 1.0)


def test_the_grid_lists_steps_without_the_baseline_and_caps_the_trials(make_study: MakeStudy) -> None:
    space = {
        "optim.warmup": {"uniform": [0.1, 0.3], "step": 0.1},
        "predictor.depth": {"int": [2, 4], "step": 2},
    }
    study = make_study(space=space, sampler={"type": "grid"}, budget={"trials": 50, "epochs": 2})
    assert len(study.space.grid()) == 5  # 3 x 2, less the baseline (0.1, 4)
    assert study.configurations == 6
    assert make_study(space=space, budget={"trials": 2}).configurations == 2
