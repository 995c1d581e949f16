"""What training minimises: a total and its named terms."""

from hjepa.objectives.jepa import JepaObjective, Terms, explained

__all__ = ["JepaObjective", "Terms", "explained"]
