"""Metrics that a study may optimise, and the cheap stand-in that each reports at rungs."""

#: Full-budget metric -> the metric of the same kind at a rung. All are fractions, higher is better.
OBJECTIVES: dict[str, str] = {"probe.top1": "probe_rung.top1", "knn.top1": "knn_rung.top1"}


def rung_metric(metric: str) -> str:
    """The rung's stand-in for a full-budget metric. Raises KeyError for an unknown metric."""
    return OBJECTIVES[metric]
