"""Claim: each design runs exactly the combinations that it names, compares what it says, and refuses what it cannot."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import ConfigError
from hjepa.search.ablation.designs import Design
from hjepa.search.ablation.fractional import aliases, fraction, resolution
from hjepa.search.ablation.outline import lines, shared
from hjepa.search.study import Study

FACTORS: dict[str, Any] = {
    "scale": {"without": {"model.layer_scale": None}, "with": {"model.layer_scale": 1e-4}},
    "augment": {"without": {"views.augmentation": "none"}, "with": {"views.augmentation": "three_augment"}},
    "slow": {"without": {}, "with": {"optim.lr": 1e-4}},
}
LEVELS = {
    "levels": {
        "none": {"hierarchy.fpn": "none"},
        "add": {"hierarchy.fpn": "add"},
        "concat": {"hierarchy.fpn": "concat"},
    }
}
MANY = {
    f"f{n}": {"without": {}, "with": {path: value}}
    for n, (path, value) in enumerate(
        {
            "optim.lr": 1e-4,
            "optim.weight_decay": 0.01,
            "ema.start": 0.9,
            "model.layer_scale": 1e-4,
            "model.drop_path": 0.1,
        }.items()
    )
}

Make = Callable[..., Study]


@pytest.fixture
def ablation(make_study: Make) -> Make:
    """A study of a design; keyword arguments are keys of its ablation."""

    def make(design: str, factors: dict[str, Any] | None = None, **keys: Any) -> Study:
        own = {name: keys.pop(name) for name in ("seeds", "claims", "budget", "sampler", "scheduler") if name in keys}
        spec = {"design": design, "factors": FACTORS if factors is None else factors, **keys}
        return make_study(**{"space": "<absent>", "budget": {"epochs": 4}, "ablation": spec, **own})

    return make


def design_of(study: Study) -> Design:
    assert study.design is not None
    return study.design


def pairs(design: Design) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {comparison.name: (comparison.minuend, comparison.subtrahend) for comparison in design.comparisons}


def test_leave_one_out_takes_each_from_the_full_recipe(ablation: Make) -> None:
    study = ablation("leave_one_out")
    design = design_of(study)
    assert [cell.name for cell in design.cells] == ["full", "without_scale", "without_augment", "without_slow"]
    full = {"model.layer_scale": 1e-4, "views.augmentation": "three_augment", "optim.lr": 1e-4}
    assert design.overrides(design.cells[0]) == full
    assert design.overrides(design.cells[1]) == {**full, "model.layer_scale": None}
    assert pairs(design)["scale"] == (("full",), ("without_scale",))
    assert (study.configurations, study.spec.scheduler.type) == (4, "none")


def test_add_one_in_adds_each_to_the_baseline(ablation: Make) -> None:
    design = design_of(ablation("add_one_in"))
    assert design.overrides(design.cells[2]) == {"model.layer_scale": None, "views.augmentation": "three_augment"}
    assert pairs(design)["augment"] == (("with_augment",), ("baseline",))


def test_one_at_a_time_compares_every_level_with_the_reference(ablation: Make) -> None:
    design = design_of(ablation("one_at_a_time", {"fpn": LEVELS, "slow": FACTORS["slow"]}))
    assert [cell.name for cell in design.cells] == ["reference", "fpn=add", "fpn=concat", "slow"]
    assert pairs(design)["fpn=concat"] == (("fpn=concat",), ("reference",))


def test_a_factorial_runs_every_combination_and_compares_halves(ablation: Make) -> None:
    design = design_of(ablation("factorial"))
    assert design.size == len({tuple(sorted(cell.levels.items())) for cell in design.cells}) == 8
    found = pairs(design)
    assert list(found) == ["scale", "augment", "slow", "scale:augment", "scale:slow", "augment:slow"]
    assert set(found["scale"][0]) == {"scale", "scale+augment", "scale+slow", "scale+augment+slow"}
    assert set(found["scale:augment"][0]) == {"none", "slow", "scale+augment", "scale+augment+slow"}
    assert design_of(ablation("factorial", {"fpn": LEVELS, "slow": FACTORS["slow"]})).size == 6


def test_contrasts_of_a_factorial_give_back_a_known_model(ablation: Make) -> None:
    design = design_of(ablation("factorial"))

    def score(levels: Any) -> float:
        scale, augment, slow = (levels[name] == "with" for name in FACTORS)
        return 50 + 3 * scale - 2 * augment + 0.5 * slow + 4 * (scale and augment)

    scores = {cell.name: score(cell.levels) for cell in design.cells}

    def value(name: str) -> float:
        plus, minus = pairs(design)[name]
        return sum(scores[cell] for cell in plus) / len(plus) - sum(scores[cell] for cell in minus) / len(minus)

    assert value("scale") == pytest.approx(3 + 4 / 2)
    assert value("augment") == pytest.approx(-2 + 4 / 2)
    assert value("slow") == pytest.approx(0.5)
    assert value("scale:augment") == pytest.approx(4 / 2)
    assert value("scale:slow") == pytest.approx(0)


@pytest.mark.parametrize(
    ("factors", "asked", "runs", "found"), [(3, 3, 4, 3), (5, 3, 8, 3), (4, 4, 8, 4), (5, 5, 16, 5)]
)
def test_a_fraction_has_the_resolution_that_was_asked_for(factors: int, asked: int, runs: int, found: int) -> None:
    signs = fraction(factors, asked)
    assert (len(signs), resolution(signs)) == (runs, found)
    assert not signs.sum(axis=0).any(), "every factor is there in half of the runs"
    assert all(not (signs[:, a] * signs[:, b]).sum() for a, b in itertools.combinations(range(factors), 2))


@pytest.mark.parametrize(("factors", "asked"), [(3, 5), (7, 5), (8, 5), (6, 4)])
def test_no_fraction_is_below_what_was_asked_for(factors: int, asked: int) -> None:
    signs = fraction(factors, asked)
    assert resolution(signs) >= min(asked, factors + 1)
    assert len({tuple(row) for row in signs.tolist()}) == len(signs)


def test_aliases_of_the_half_of_three_factors_are_known() -> None:
    names = ["a", "b", "c"]  # c = ab
    assert aliases(names, fraction(3, 3)) == [("a", "b:c"), ("b", "a:c"), ("c", "a:b")]


def test_a_fractional_design_prints_resolution_and_aliases(ablation: Make) -> None:
    design = design_of(ablation("fractional_factorial", MANY, resolution=3))
    assert design.size == 8
    assert design.notes[0] == "8 of 32 combinations; resolution III"
    assert any(re.match(r"aliased .*: f0 = .*:", note) for note in design.notes)
    mains = [comparison for comparison in design.comparisons if comparison.kind == "factor"]
    assert [comparison.name for comparison in mains] == list(MANY)
    assert design_of(ablation("fractional_factorial", MANY, resolution=5)).notes[0].endswith("resolution V")


def test_a_label_of_an_a_a_study_has_seeds_of_its_own(ablation: Make) -> None:
    study = ablation("a_a", {}, labels=3, seeds=[0, 1])
    assert [study.seeds(index) for index in range(3)] == [(0, 1), (10_000, 10_001), (20_000, 20_001)]
    assert design_of(study).overrides(design_of(study).cells[1]) == {}
    assert "comparisons, a label minus the first, seed by seed" in lines(study, Path("nowhere"))
    assert pairs(design_of(study)) == {
        "label_1": (("label_1",), ("label_0",)),
        "label_2": (("label_2",), ("label_0",)),
    }


def test_cells_of_one_configuration_are_known_as_such(ablation: Make) -> None:
    default = {"levels": {"seven": {"optim.lr": 7e-4}, "four": {"optim.lr": 4e-4}}}
    both = {"levels": {"on": {"ema.start": 0.9}, "off": {}}}
    study = ablation("factorial", {"lr": default, "ema": both})
    assert shared(study, design_of(study)) == {}
    study = ablation("one_at_a_time", {"a": {"levels": {"x": {}, "y": {"optim.lr": 7e-4}}}, "b": both})
    assert study.configurations == 3


def test_more_seeds_are_the_smallest_that_are_free(make_study: Make, write_study: Callable[..., Any]) -> None:
    path = write_study(space="<absent>", budget={"epochs": 4}, ablation={"design": "a_a"}, seeds=[1, 5])
    assert Study.load(path, seeds=4).spec.seeds == (1, 5, 0, 2)
    assert Study.load(path, seeds=1).spec.seeds == (1,)


def test_the_resolved_study_means_the_same(ablation: Make, tmp_path: Any) -> None:
    from hjepa.overrides import yaml12

    claims = [{"factor": "scale", "effect": [0.5, 1.0], "source": "somebody"}]
    study = ablation("leave_one_out", claims=claims, seed_sd=1.5)
    (tmp_path / "again.yaml").write_text(yaml12.dump(study.resolved()))
    again = Study.load(tmp_path / "again.yaml")
    assert (again.resolved(), again.design, again.base) == (study.resolved(), study.design, study.base)


#: What the research says that each technique is worth, in points of a probe or of a downstream task.
CLAIMED: dict[str, dict[str, list[tuple[float, float]]]] = {
    "ablation_phase1": {"layer_scale": [(0.5, 1)], "three_augment": [(1, 2), (2, 4), (3, 5)]},
    "ablation_phase2": {"rope": [(0.5, 1.5), (1, 3)]},
    "ablation_phase3": {
        "ntxent": [(0.8, 1)],
        "multi_crop": [(2, 4), (2, 5)],
        "fpn=add": [(1, 2), (2, 5)],
        "fpn=concat": [(1, 2), (2, 5)],
        "uwso": [(1, 2), (2, 3)],
    },
}


@pytest.mark.parametrize("name", CLAIMED)
def test_the_ablations_of_the_phases_carry_every_claim_on_a_score(name: str) -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    for claim in Study.load(Path(__file__).parents[2] / "search_spaces" / f"{name}.yaml").spec.claims:
        assert claim.source.startswith("roadmap, phase ")
        found.setdefault(claim.factor, []).append(claim.effect)
    assert found == CLAIMED[name]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"design": "leave_two_out"}, r"ablation\.design: got leave_two_out; allowed leave_one_out.*did you mean"),
    ({"design": "leave_one_out", "factors": {}}, r"ablation\.factors: allowed at least one with design leave_one_out"),
    ({"design": "a_a"}, r"ablation\.factors: allowed none with design a_a"),
    ({"design": "factorial", "resolution": 4}, r"ablation\.resolution: allowed only when .* fractional_factorial"),
    ({"design": "path", "factors": {"fpn": LEVELS}}, r"ablation\.factors\.fpn: got levels; design path allowed"),
    ({"factors": {"x": {"with": {}}}}, r"ablation\.factors\.x: got with; allowed a mapping of without and with"),
    ({"factors": {"x": {"without": {}, "with": {"optim.lrr": 1}}}}, r"ablation\.factors\.x\.with\.optim\.lrr: unknown"),
    ({"factors": {"x": {"without": {}, "with": {"seed": 1}}}}, r"ablation\.factors\.x\.with\.seed: cannot be a factor"),
    ({"factors": {"x": {"without": {}, "with": {}}}}, r"ablation\.factors\.x: without and with are one configuration"),
    ({"factors": {"full": FACTORS["slow"]}}, r"ablation\.factors\.full: got full; allowed none of"),
    (
        {"factors": {"x": FACTORS["slow"], "y": {"without": {}, "with": {"optim.lr": 1e-5}}}},
        r"ablation\.factors\.y: optim\.lr belongs to x",
    ),
    (
        {"factors": {"x": {"without": {}, "with": {"runtime.threads": 2}}}},
        r"ablation\.factors\.x\.with\.runtime\.threads: decides how a run is executed",
    ),
    ({"claims": [{"factor": "z", "effect": [1, 2], "source": "s"}]}, r"claims\.0\.factor: got z; allowed a comparison"),
    ({"claims": [{"factor": "slow", "effect": [0.0, 2], "source": "s"}]}, r"claims\.0\.effect: got .*allowed \[a, b\]"),
    ({"budget": {"trials": 3}}, r"budget\.trials: got 3; allowed only with a space"),
    ({"sampler": {"type": "tpe"}}, r"sampler: allowed only with a space"),
]


@pytest.mark.parametrize(("keys", "line"), REFUSED)
def test_what_cannot_be_is_refused_in_one_line(ablation: Make, keys: dict[str, Any], line: str) -> None:
    keys = dict(keys)
    with pytest.raises(ConfigError) as caught:
        ablation(keys.pop("design", "leave_one_out"), keys.pop("factors", FACTORS), **keys)
    assert len(caught.value.problems) == 1
    assert re.match(line, caught.value.problems[0]), caught.value.problems[0]


def test_a_study_is_a_search_or_an_ablation(make_study: Make) -> None:
    with pytest.raises(ConfigError, match="space: got both"):
        make_study(ablation={"design": "a_a"})
