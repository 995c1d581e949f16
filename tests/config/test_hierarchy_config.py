"""Levels that grid or encoder cannot give, and fields that would change nothing, are refused in one line."""

import pytest

from hjepa.config import LEVEL_WEIGHTS, cell_windows
from hjepa.overrides import ConfigError, load_config


def test_cells_of_both_poolings() -> None:
    assert cell_windows(14, 2, "adaptive") == [(0, 5), (4, 10), (9, 14)]
    assert cell_windows(14, 2, "floor") == [(0, 4), (4, 8), (8, 12)]
    assert cell_windows(14, 3, "floor") == [(0, 8)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["hierarchy.pooling=floor"],
            "hierarchy.pooling: got floor; allowed adaptive, as nothing is left out where 4 divides "
            "the grid of 8 patches a side",
        ),
        (["hierarchy.levels=4", "views.size=16"], "hierarchy.levels: got 4; a 4x4 grid allows at most 3"),
        (
            ["hierarchy.source=both", "model.size=null", "model.width=32", "model.depth=1", "model.heads=2"],
            "hierarchy.source: got both; allowed pool (the encoder has one block)",
        ),
        (["target.layers=13"], "target.layers: got 13; allowed at most 12 (the encoder's blocks)"),
        (
            ["hierarchy.cross_attention=both", "hierarchy.cross_heads=5"],
            "hierarchy.cross_heads: got 5; allowed divisors of the encoder's width 192",
        ),
        (
            ["hierarchy.slots=4", "objective.level_weights=[1.0,1.0,1.0]"],
            "objective.level_weights: got 3 weights; allowed 4 (one for each of hierarchy.levels, and for the slots)",
        ),
        (["hierarchy.levels=1", "hierarchy.fpn=add"], "hierarchy.fpn: got add"),
        (["hierarchy.predictor=pooled", "hierarchy.cross_attention=both"], "hierarchy.cross_attention: got both"),
        (["hierarchy.predictor=pooled", "predictor.blocks=joint"], "predictor.blocks: got joint"),
        (["target.features=pixels", "hierarchy.slots=4"], "hierarchy.slots: got 4"),
        (["target.features=pixels", "hierarchy.source=depth"], "hierarchy.source: got depth"),
    ],
)
def test_what_cannot_act_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, lines)
    (problem,) = caught.value.problems
    assert problem.startswith(message)


@pytest.mark.parametrize("size", [36, 40, 56])
def test_floor_is_allowed_where_it_leaves_something_out(size: int) -> None:
    assert load_config(None, ["hierarchy.pooling=floor", f"views.size={size}"]).hierarchy.pooling == "floor"


def test_slots_have_a_weight() -> None:
    for levels in (1, 2, 3, 4):
        config = load_config(None, [f"hierarchy.levels={levels}", "hierarchy.slots=4"])
        assert config.level_weights == LEVEL_WEIGHTS[: levels + 1]
    own = load_config(None, ["hierarchy.levels=2", "hierarchy.slots=4", "objective.level_weights=[1.0,0.5,2.0]"])
    assert own.level_weights == (1.0, 0.5, 2.0)
