"""Scores of a frozen encoder: linear probe, k-NN, feature statistics, collapse monitor; averages of its weights."""

from hjepa.evaluation.averaging import Weights, greedy_soup, uniform_soup
from hjepa.evaluation.collapse import CollapseMonitor, statistics
from hjepa.evaluation.evaluator import Evaluator
from hjepa.evaluation.features import extract
from hjepa.evaluation.linear import ProbeScore, few_label_probe, linear_probe
from hjepa.evaluation.neighbours import knn_accuracy

__all__ = [
    "CollapseMonitor",
    "Evaluator",
    "ProbeScore",
    "Weights",
    "extract",
    "few_label_probe",
    "greedy_soup",
    "knn_accuracy",
    "linear_probe",
    "statistics",
    "uniform_soup",
]
