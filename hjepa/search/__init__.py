"""Studies over the configuration: what to run, what came of it, what it means.

All but the engines is pure: it imports neither torch nor Ray, Optuna or MLflow (`tests/test_layers.py` lists
both). `sampler`, `runner` and `tracking` are the fences around those; nothing is imported from here, so that a
pure module stays cheap.
"""
