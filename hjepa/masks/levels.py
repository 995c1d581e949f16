"""Which cells above level 0 are targets."""

import torch
from torch import Tensor

from hjepa.config import HierarchyConfig, cell_windows
from hjepa.masks.blocks import MaskSampler
from hjepa.overrides import ConfigError, problem

_SHARE = {"any": 1e-6, "majority": 0.5 - 1e-6, "all": 1.0 - 1e-6}
_TRIALS, _STEPS = 32, 32


def level_grids(grid: int, levels: int) -> list[int]:
    """Cells per side of each level: 14 -> 14, 7, 3, 1."""
    return [grid >> level for level in range(levels)]


def level_targets(targets: Tensor, grid: int, levels: int, rule: str, pooling: str) -> list[Tensor]:
    """Boolean maps [B, G_l] of the target cells of levels 1 and up.

    targets: [B, M, T] level-0 indices. A cell is a target when any, at least half or all of the
    level-0 cells it covers (`cell_windows`) lie in the union of the blocks.
    """
    covered = torch.zeros(targets.shape[0], grid * grid)
    covered.scatter_(1, targets.flatten(1).cpu(), 1.0)
    image = covered.view(-1, grid, grid)
    chosen = []
    for level in range(1, levels):
        mean = _mean_over_cells(grid, level, pooling)
        chosen.append((mean @ image @ mean.T).flatten(1) >= _SHARE[rule])
    return chosen


def _mean_over_cells(grid: int, level: int, pooling: str) -> Tensor:
    """The matrix [n, grid] that averages rows, or columns, over the cells of a level."""
    windows = cell_windows(grid, level, pooling)
    mean = torch.zeros(len(windows), grid)
    for index, (first, end) in enumerate(windows):
        mean[index, first:end] = 1.0 / (end - first)
    return mean


def refuse_empty_levels(config: HierarchyConfig, sampler: MaskSampler) -> None:
    """Raise ConfigError when the child rule leaves most images without a target at some level."""
    if config.levels == 1:
        return
    # Block sizes are one draw a batch, so several batches are looked at.
    draws = [sampler.draw(_TRIALS, seed=0, step=step).targets for step in range(_STEPS)]
    maps = [level_targets(targets, sampler.grid, config.levels, config.child_rule, config.pooling) for targets in draws]
    for level in range(1, config.levels):
        empty = float(torch.cat([~chosen[level - 1].any(1) for chosen in maps]).float().mean())
        if empty > 0.5:
            allowed = f"a rule that leaves a target at level {level} in most images ({empty:.0%} have none)"
            raise ConfigError([problem("hierarchy.child_rule", config.child_rule, allowed)])
