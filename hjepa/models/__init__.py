"""Encoder, predictor and the hierarchical JEPA made of them."""

from hjepa.models.attention import attend, resolve_kernel
from hjepa.models.encoder import Encoder, draw_keep
from hjepa.models.inputs import Inputs, Level, Outputs, Wants
from hjepa.models.jepa import HJEPA

__all__ = ["HJEPA", "Encoder", "Inputs", "Level", "Outputs", "Wants", "attend", "draw_keep", "resolve_kernel"]
