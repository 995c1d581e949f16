"""The levels above the patch grid: their cells, targets, predictors, and how their contexts meet."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from hjepa.config.fields import PREDICTS, Section, knob
from hjepa.config.model import ModelConfig
from hjepa.config.target import TargetConfig

HIERARCHICAL: dict[str, Sequence[Any] | str] = {"hierarchy.levels": [2, 3, 4]}
#: Live condition of what changes the context of a predictor: levels that are predicted from a context of their own.
CONTEXTUAL: dict[str, Sequence[Any] | str] = {**HIERARCHICAL, "hierarchy.predictor": ["per_level", "shared"]}


class HierarchyConfig(Section):
    """The levels above the patch grid."""

    live: ClassVar = PREDICTS

    levels: Annotated[int, Field(ge=1, le=4)] = knob(
        3, "Levels; level l pools the targets by 2^l. 1 is plain I-JEPA.", effect="training", flip=2
    )
    pooling: Literal["adaptive", "floor"] = knob(
        "adaptive",
        "Where 2^l does not divide the grid: adaptive covers it with cells that overlap, floor leaves out the rest.",
        effect="training",
        flip="floor",
        when=HIERARCHICAL,
        together={"views.size": 36},
        source="torch's adaptive_avg_pool2d and avg_pool2d",
        proof="tests/models/test_level_targets.py::test_a_cell_is_the_mean_of_its_window[14-2-floor]",
        title="level targets: adaptive or floor pooling",
    )
    source: Literal["pool", "depth", "both"] = knob(
        "pool",
        "pool: every level from the last block; depth: finer levels from earlier blocks, the coarsest from the last; "
        "both: the mean of the two, each layer-normalised. All are pooled to their level's grid.",
        effect="training",
        flip="depth",
        when={**HIERARCHICAL, "target.features": ["encoder"]},
        source="depths as V-JEPA 2.1 supervises them; which level takes which is this project's own",
        proof="tests/models/test_hierarchy.py::test_source_depth_takes_the_target_encoders_blocks",
        title="level targets: pooling, depths or both",
    )
    predictor: Literal["per_level", "shared", "pooled"] = knob(
        "per_level",
        "A predictor of its own for each level, one with a level embedding, or (a control) the level-0 predictions "
        "of all patches, pooled.",
        effect="training",
        flip="shared",
        when=HIERARCHICAL,
        proof="tests/models/test_hierarchy.py::test_pooled_predictions_are_means_of_level_0[8-adaptive]",
        title="predictor of the levels",
    )
    child_rule: Literal["any", "majority", "all"] = knob(
        "majority",
        "A cell above level 0 is a target if any, at least half or all of the cells it covers are.",
        effect="training",
        flip="any",
        when=HIERARCHICAL,
        proof="tests/masks/test_levels.py::test_rule_counts_children[majority-2]",
    )
    renormalise: bool = knob(
        True,
        "Layer-normalise the pooled targets again, so that the levels have one scale.",
        effect="training",
        flip=False,
        when={**HIERARCHICAL, "objective.normalise_targets": [True]},
        proof="tests/models/test_level_targets.py::test_pooled_targets_are_normalised_again_unless_told",
    )
    cross_attention: Literal["none", "top_down", "bottom_up", "both"] = knob(
        "none",
        "Attention between the levels of the context, of visible tokens only and from zero at the start: "
        "each level looks at the coarser one, the finer one, or both.",
        effect="training",
        flip="top_down",
        when=CONTEXTUAL,
        source="this project's own (no published recipe)",
        proof="tests/models/test_cross_level.py::test_a_level_sees_the_levels_its_direction_names[top_down-links0]",
        title="cross-level attention",
    )
    cross_heads: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Heads of the attention between levels; null takes the encoder's.",
        effect="training",
        flip=4,
        when={**CONTEXTUAL, "hierarchy.cross_attention": ["top_down", "bottom_up", "both"]},
        proof="tests/models/test_cross_level.py::test_it_is_softmax_attention_of_the_others",
    )
    fpn: Literal["none", "add", "concat"] = knob(
        "none",
        "Feature pyramid over the visible tokens, which adds coarse levels to finer ones by sum or by concatenation; "
        "what each predictor reads of it starts from zero.",
        effect="training",
        flip="add",
        when=CONTEXTUAL,
        source="FPN (arXiv 1612.03144), with partial convolutions (arXiv 1804.07723)",
        proof="tests/models/test_hierarchy.py::test_what_connects_levels_starts_as_absent_and_then_acts_on_each[fields0]",
        title="feature pyramid (FPN)",
    )
    slots: Annotated[int, Field(ge=2, le=32)] | None = knob(
        None,
        "Slots of one more level on top: the target's slots are predicted from the context's; null has no such level.",
        effect="training",
        flip=4,
        when={"target.features": ["encoder"]},
        source="Slot Attention (arXiv 2006.15055); as a level of a JEPA this project's own",
        proof="tests/models/test_hierarchy.py::test_slots_are_one_more_level[3]",
        title="slot attention as top level",
    )

    @property
    def weighted(self) -> int:
        """Number of predicted levels, slots included: as many as there are level weights."""
        return self.levels + (self.slots is not None)


def cell_windows(grid: int, level: int, pooling: str) -> list[tuple[int, int]]:
    """First and past-the-last patch row (or column) that each cell of a level covers; grid: patches per side.

    adaptive: a level has floor(grid / 2^level) cells per side, which cover all patches and may overlap;
    floor: cells of exactly 2^level patches, the rest at the end is in none. Masks, targets and positions
    agree with this. Source: torch's `adaptive_avg_pool2d` and `avg_pool2d`.
    """
    cells, side = grid >> level, 1 << level
    if pooling == "floor":
        return [(index * side, (index + 1) * side) for index in range(cells)]
    return [(index * grid // cells, -(-(index + 1) * grid // cells)) for index in range(cells)]


def refuse_levels(
    hierarchy: HierarchyConfig, model: ModelConfig, target: TargetConfig, grid: int, trained: Sequence[int]
) -> None:
    """Raise ValueError, of one line, for levels that the grid or the encoder cannot give, or that change nothing.

    grid: patches a side at `model.patch_size`; trained: of the patch sizes that a step may have.
    """
    levels, side = hierarchy.levels, 1 << (hierarchy.levels - 1)
    width, depth, _ = model.shape
    if grid < side:
        raise ValueError(f"hierarchy.levels: got {levels}; a {grid}x{grid} grid allows at most {grid.bit_length()}")
    if hierarchy.pooling == "floor" and levels > 1 and all(each % side == 0 for each in trained):
        raise ValueError(
            f"hierarchy.pooling: got floor; allowed adaptive, as nothing is left out where {side} divides "
            f"the grid of {grid} patches a side"
        )
    if hierarchy.source != "pool" and depth < 2:
        raise ValueError(f"hierarchy.source: got {hierarchy.source}; allowed pool (the encoder has one block)")
    if target.layers > depth:
        raise ValueError(f"target.layers: got {target.layers}; allowed at most {depth} (the encoder's blocks)")
    heads = hierarchy.cross_heads
    if heads is not None and width % heads:
        raise ValueError(f"hierarchy.cross_heads: got {heads}; allowed divisors of the encoder's width {width}")
