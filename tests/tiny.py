"""The smallest real experiment: what tests of whole runs start from."""

from typing import Any

#: The command line in a process of its own, by the interpreter that runs the tests.
MAIN = "from hjepa.cli.search import main; main()"
#: An encoder of a few thousand weights.
MODEL: dict[str, Any] = {
    "model.size": None,
    "model.width": 16,
    "model.depth": 1,
    "model.heads": 2,
    "predictor.width": 16,
    "predictor.depth": 1,
    "predictor.heads": 2,
    "hierarchy.levels": 1,
}
#: A run of a second or two on 100 digits.
EXPERIMENT: dict[str, Any] = {
    **MODEL,
    "data.train_size": 100,
    "optim.batch_size": 50,
    "evaluation.rung_train": 40,
    "evaluation.rung_holdout": 40,
    "runtime.device": "cpu",
}
