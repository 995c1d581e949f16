"""What training minimises: a total and its named terms."""

from hjepa.objectives.jepa import JepaObjective, explained
from hjepa.objectives.material import Material, Terms
from hjepa.objectives.objective import Objective

__all__ = ["JepaObjective", "Material", "Objective", "Terms", "explained"]
