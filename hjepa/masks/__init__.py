"""Masks as index tensors: the model needs no mask logic of its own."""

from hjepa.masks.blocks import Masks, MaskSampler
from hjepa.masks.levels import level_grids, level_targets, refuse_empty_levels

__all__ = ["MaskSampler", "Masks", "level_grids", "level_targets", "refuse_empty_levels"]
