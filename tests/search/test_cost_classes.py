"""Claim: configurations share a cost class exactly where they differ in nothing that costs, and a study's samples
hold every cell, or the baseline and the ends of each dimension."""

from collections.abc import Callable

import pytest

from hjepa.overrides import knobs, load_config
from hjepa.search.cost_classes import FREE, GRADED, cost_class, distinct, samples
from hjepa.search.study import Study

MakeStudy = Callable[..., Study]
FREELY = [
    "optim.lr=0.1",
    "seed=7",
    "ema.start=0.5",
    "optim.weight_decay=0.3",
    "optim.schedule=constant",
    "views.flip=0",
]
COSTLY = [
    ["optim.batch_size=32"],
    ["model.size=micro"],
    ["model.depth=3", "model.width=48", "model.heads=3", "model.size=null"],
    ["views.size=64"],
    ["views.globals=2"],
    ["hierarchy.levels=1"],
    ["runtime.checkpointing=all"],
    ["runtime.micro_batch=32"],
    ["model.layer_scale=1e-4"],
    ["objective.vicreg.weight=0.1"],
    ["masks.target_scale=[0.2, 0.3]"],
    ["evaluation.labels_per_class=5"],
    ["training.epochs=3"],
]


def test_the_named_fields_exist_and_no_field_is_named_twice() -> None:
    assert set(FREE) | set(GRADED) <= set(knobs())
    assert not set(FREE) & set(GRADED)


def test_what_costs_nothing_shares_a_class() -> None:
    base = cost_class(load_config())
    for setting in FREELY:
        assert cost_class(load_config(overrides=[setting])) == base, setting
    some = load_config(overrides=["objective.vicreg.weight=0.1", "objective.vicreg.std=3"])
    more = load_config(overrides=["objective.vicreg.weight=0.7", "objective.vicreg.std=25"])
    assert cost_class(some) == cost_class(more), "a weight costs by being there"


@pytest.mark.parametrize("settings", COSTLY, ids=lambda settings: settings[0])
def test_what_costs_makes_a_class_of_its_own(settings: list[str]) -> None:
    assert cost_class(load_config(overrides=settings)) != cost_class(load_config())


def test_a_search_is_sampled_at_its_baseline_and_the_ends_of_each_dimension(make_study: MakeStudy) -> None:
    study = make_study(
        space={
            "optim.lr": {"log_uniform": [1e-4, 1e-2]},
            "optim.batch_size": {"choice": [32, 64]},
            "model.layer_scale": {"choice": [None, 1e-5, 1e-2]},
        }
    )
    found = samples(study)
    assert [sample.name for sample in found][:3] == ["baseline", "optim.lr=0.0001", "optim.lr=0.01"]
    assert len(found) == 1 + 2 + 2 + 3
    assert [sample.name for sample in distinct(found).values()] == [
        "baseline",
        "optim.batch_size=32",
        "optim.batch_size=64",
        "model.layer_scale=1e-05",
    ]


def test_an_ablation_is_sampled_at_its_cells(make_study: MakeStudy) -> None:
    factors = {
        "slow": {"without": {}, "with": {"optim.lr": 1e-4}},
        "two": {"without": {}, "with": {"views.globals": 2}},
    }
    study = make_study(
        space="<absent>", budget={"epochs": 2}, ablation={"design": "leave_one_out", "factors": factors}, seeds=[0]
    )
    assert [sample.name for sample in samples(study)] == ["full", "without_slow", "without_two"]
    assert [sample.name for sample in distinct(samples(study)).values()] == ["full", "without_two"]
