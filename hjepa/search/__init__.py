"""Studies over the configuration: what to run, what came of it, what it means.

The modules `schema`, `study`, `space`, `space_file`, `plan`, `records`, `files`, `analysis`, `report` and
`export` are pure: they import neither torch nor Ray, Optuna or MLflow. `sampler`, `runner` and
`tracking` are the fences around those; nothing is imported from here, so that a pure module stays cheap.
"""
