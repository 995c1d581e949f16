"""Claims: each term sees the embedding it is said to act on, is scaled by the part's share of the batch, and does not
exist at weight 0; the total is the weighted sum, in float32 whatever the autocast."""

from typing import Any

import pytest
import torch

from hjepa.config import ObjectiveConfig
from hjepa.objectives import Material, Objective
from hjepa.objectives import vicreg as formulas
from hjepa.objectives.cjepa import context_mean, predicted_block_pairs, two_views
from hjepa.objectives.invariance import invariance
from hjepa.objectives.ntxent import ntxent
from hjepa.objectives.sigreg import directions, epps_pulley
from hjepa.runtime.streams import generator
from tests.objectives.oracle import det

NAMES = ("vicreg", "cjepa", "ntxent", "sigreg", "invariance")
VIEWS, CONTEXT = det(3, 16, 6).float(), det(2, 16, 6, a=0.4).float()
PREDICTION, TARGET = det(2, 16, 6, a=0.5).float(), det(2, 16, 6, a=0.6).float()
BLOCKS = det(2, 16, 4, 6).float()


def material(share: float = 1.0, step: int = 3) -> Material:
    """Two global views and a small crop of 16 images."""
    embeddings = {"view": VIEWS, "context": CONTEXT, "prediction": PREDICTION, "target": TARGET, "blocks": BLOCKS}
    return Material(embeddings=embeddings, global_count=2, share=share, step=step)


def objective(**terms: dict[str, Any]) -> Objective:
    return Objective(ObjectiveConfig.model_validate({"jepa_weight": 0.0, **terms}), (1.0,), seed=5)


def vicreg_by_hand(views: torch.Tensor) -> torch.Tensor:
    inv, std = formulas.closeness(views[0], views[1]), formulas.spread_of_views(views)
    return 25 * inv + 25 * std + formulas.covariance_of_views(views)


def sigreg_by_hand(views: torch.Tensor) -> torch.Tensor:
    return epps_pulley(views @ directions(6, 256, generator(5, "sigreg", 3))).mean()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vicreg", {"on": "view"}, lambda: vicreg_by_hand(VIEWS[:2])),
        ("vicreg", {"on": "context"}, lambda: vicreg_by_hand(CONTEXT)),
        ("vicreg", {"on": "prediction", "inv": 0.0, "std": 0.0}, lambda: formulas.covariance_of_views(PREDICTION)),
        ("ntxent", {"on": "view"}, lambda: ntxent(VIEWS[0], VIEWS[1], 0.1)),
        ("ntxent", {"on": "context", "temperature": 0.5}, lambda: ntxent(CONTEXT[0], CONTEXT[1], 0.5)),
        ("sigreg", {"on": "view"}, lambda: sigreg_by_hand(VIEWS)),
        ("sigreg", {"on": "prediction"}, lambda: sigreg_by_hand(PREDICTION)),
        ("invariance", {"on": "view"}, lambda: invariance(VIEWS, 2)),
        ("invariance", {"on": "context"}, lambda: invariance(CONTEXT, 2)),
        (
            "cjepa",
            {"on": "context_mean", "sim": 25.0, "std": 0.0, "cov": 0.0},
            lambda: 25 * context_mean(CONTEXT, PREDICTION, TARGET).sim,
        ),
        ("cjepa", {"on": "context_mean", "sim": 0.0, "std": 0.0}, lambda: context_mean(CONTEXT, CONTEXT, CONTEXT).cov),
        (
            "cjepa",
            {"on": "predicted_block_pairs", "sim": 0.0, "std": 0.0},
            lambda: predicted_block_pairs(BLOCKS.flatten(0, 1)).cov,
        ),
        ("cjepa", {"on": "two_views", "std": 0.0, "cov": 0.0}, lambda: 25 * two_views(CONTEXT).sim),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_term_sees_what_it_acts_on(name: str, options: dict[str, Any], expected: Any) -> None:
    found = objective(**{name: {"weight": 2.0, **options}})(material())
    assert torch.allclose(found.total, 2.0 * expected())


@pytest.mark.parametrize("name", NAMES)
def test_a_part_counts_by_its_share(name: str) -> None:
    terms = objective(**{name: {"weight": 1.0}})
    assert torch.allclose(terms(material(share=0.25)).total, 0.25 * terms(material()).total)
    named = terms(material(share=0.25)).named
    whole = terms(material()).named
    assert named.keys() == whole.keys() and all(torch.allclose(named[k], 0.25 * whole[k]) for k in named)


def test_the_total_is_the_weighted_sum_and_each_term_is_named() -> None:
    found = objective(**{name: {"weight": 0.5 + index} for index, name in enumerate(NAMES)})(material())
    by_hand = sum((0.5 + index) * found.named[f"loss.{name}"] for index, name in enumerate(NAMES))
    assert torch.allclose(found.total, by_hand) and torch.equal(found.total, found.named["loss"])
    assert set(found.weighted) == set(NAMES)
    assert torch.allclose(sum(found.weighted.values()), found.total)
    parts = {name for name in found.named if name.count(".") == 2}
    assert parts == {f"loss.vicreg.{part}" for part in ("inv", "std", "cov")} | {
        f"loss.cjepa.{part}" for part in ("sim", "std", "cov")
    }


def test_a_weight_of_zero_is_no_term() -> None:
    terms = objective(sigreg={"weight": 1.0}, **{name: {"weight": 0.0} for name in NAMES if name != "sigreg"})
    assert list(terms.terms) == ["sigreg"]
    one = objective(vicreg={"weight": 1.0, "inv": 0.0, "cov": 0.0})(material())
    assert set(one.named) == {"loss", "loss.vicreg.std"}


def test_directions_follow_the_step() -> None:
    terms = objective(sigreg={"weight": 1.0, "slices": 4})
    assert torch.equal(terms(material(step=3)).total, terms(material(step=3)).total)
    assert not torch.equal(terms(material(step=3)).total, terms(material(step=4)).total)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_float32_under_autocast(name: str) -> None:
    terms = objective(**{name: {"weight": 1.0}})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = terms(material())
    assert found.total.dtype == torch.float32 and torch.equal(found.total, terms(material()).total)
