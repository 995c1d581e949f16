"""Ablations: designs over factors, the cells that they run, and what their factors are worth. Pure."""
