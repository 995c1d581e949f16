"""The levels above the patch grid."""


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
