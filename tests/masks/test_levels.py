"""Claims: a cell above level 0 is a target by the share of its children that are; the rule that
leaves most images without a target is refused."""

import pytest
import torch

from hjepa.config import HierarchyConfig, MasksConfig
from hjepa.masks import MaskSampler, level_grids, level_targets, refuse_empty_levels
from hjepa.overrides import ConfigError


def test_grids_halve_and_round_down() -> None:
    assert level_grids(14, 4) == [14, 7, 3, 1]


@pytest.mark.parametrize(("rule", "share"), [("any", 1), ("majority", 2), ("all", 4)])
def test_rule_counts_children(rule: str, share: int) -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.stack([torch.randperm(64, generator=generator)[:20] for _ in range(10)]).unsqueeze(1)
    chosen = level_targets(targets, 8, 2, rule, "adaptive")[0]
    for image in range(10):
        inside = set(targets[image].flatten().tolist())
        for cell in range(16):
            row, column = cell // 4 * 2, cell % 4 * 2
            children = [(row + a) * 8 + column + b for a in (0, 1) for b in (0, 1)]
            assert bool(chosen[image, cell]) == (sum(child in inside for child in children) >= share)


@pytest.mark.parametrize("rule", ["any", "all"])
def test_floor_pooling_counts_only_the_cells_it_covers(rule: str) -> None:
    """On a 9x9 grid the last row is in no cell; with adaptive pooling it is in the last."""
    last_row = torch.arange(72, 81).view(1, 1, -1)
    assert not level_targets(last_row, 9, 3, rule, "floor")[0].any()
    assert level_targets(last_row, 9, 3, "any", "adaptive")[0].any()
    block = torch.tensor([0, 1, 9, 10]).view(1, 1, -1)
    (chosen,) = level_targets(block, 9, 2, rule, "floor")
    assert chosen[0].nonzero().flatten().tolist() == [0]


def test_all_is_refused_on_a_small_grid() -> None:
    sampler = MaskSampler(MasksConfig(), 8)
    refuse_empty_levels(HierarchyConfig(levels=3), sampler)
    with pytest.raises(
        ConfigError, match=r"hierarchy.child_rule: got all; allowed a rule that leaves a target at level 2"
    ):
        refuse_empty_levels(HierarchyConfig(levels=3, child_rule="all"), sampler)


@pytest.mark.parametrize(
    ("grid", "pooling", "refused"), [(14, "adaptive", True), (14, "floor", False), (9, "floor", False)]
)
def test_the_pooling_decides_what_is_refused(grid: int, pooling: str, refused: bool) -> None:
    """A 14x14 grid at level 3 is one cell: of 196 patches, or with floor of 64 that are hidden more often."""
    config = HierarchyConfig.model_validate({"levels": 4, "pooling": pooling})
    sampler = MaskSampler(MasksConfig(), grid)
    if refused:
        with pytest.raises(ConfigError, match=r"hierarchy.child_rule: got majority; .* at level 3 in most images"):
            refuse_empty_levels(config, sampler)
    else:
        refuse_empty_levels(config, sampler)
