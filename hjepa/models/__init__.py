"""Encoder, predictor and the hierarchical JEPA made of them."""

from hjepa.models.attention import attend, resolve_kernel
from hjepa.models.encoder import Encoder, draw_keep
from hjepa.models.jepa import HJEPA, Level

__all__ = ["HJEPA", "Encoder", "Level", "attend", "draw_keep", "resolve_kernel"]
