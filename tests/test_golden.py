"""The baseline's method does not move unnoticed: shapes, initial weights, masks, schedules and data order are recorded.

Only what no processor or library rounding changes is compared exactly. Where it moves on purpose,
raise METHOD_VERSION and run `pytest tests/test_golden.py --write-golden`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hjepa.overrides import METHOD_VERSION, Layer, resolve
from hjepa.runtime.streams import numpy_generator
from hjepa.training import Run, build

FILE = Path(__file__).with_name("golden.json")
STEPS = (1, 2, 10, 100)


@pytest.fixture(scope="module")
def baseline() -> Run:
    return build(resolve([Layer("golden", {"runtime.device": "cpu", "runtime.threads": 1})]))


def measured(run: Run) -> dict[str, Any]:
    """The baseline's fingerprint: `exact` to the bit, `near` to rounding."""
    draws = {step: run.step.draw(8, step) for step in STEPS}
    weights = {name: weight.detach() for name, weight in run.model.trainable().items()}
    boxes = {str(step): draw.views[0].box[:2].tolist() for step, draw in draws.items()}  # type: ignore[union-attr]
    return {
        "exact": {
            "shapes": digest({name: list(weight.shape) for name, weight in weights.items()}),
            "masks": {str(step): digest(_masks(draw.masks[0])) for step, draw in draws.items()},
            "levels": {str(step): draw.counts for step, draw in draws.items()},
            "order": digest(numpy_generator(0, "order", 0).permutation(len(run.dataset.train)).tolist()),
            "data": run.dataset.fingerprint,
            "hold-out": digest(np.asarray(run.dataset.holdout.labels).tolist()),
        },
        "near": {
            "rates": {str(step): list(vars(run.step.schedule.at(step)).values()) for step in STEPS},
            "boxes": boxes,
            "weights": {name: _summary(weight) for name, weight in weights.items()},
        },
    }


def digest(value: Any) -> str:
    """A short hash of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _masks(masks: Any) -> list[Any]:
    return [masks.context.tolist(), masks.targets.tolist()]


def _summary(weight: torch.Tensor) -> list[float]:
    flat = weight.double().flatten()
    return [float(flat.mean()), float(flat.std(correction=0)), float(flat[0]), float(flat[-1])]


def test_the_baseline_is_as_recorded(baseline: Run, request: pytest.FixtureRequest) -> None:
    found = json.loads(json.dumps(measured(baseline)))
    if request.config.getoption("write_golden"):
        text = json.dumps({"method_version": METHOD_VERSION, **found})
        FILE.write_text(text.replace("], ", "],\n").replace("{", "{\n") + "\n")  # a line each, for readable changes
    golden = json.loads(FILE.read_text())
    assert golden["method_version"] == METHOD_VERSION, "record it again: --write-golden"
    moved = [name for name, value in golden["exact"].items() if found["exact"][name] != value]
    assert not moved, f"the method moved in {moved}: if on purpose, raise METHOD_VERSION and --write-golden"
    for part, values in golden["near"].items():
        assert found["near"][part].keys() == values.keys()
        for name, value in values.items():
            np.testing.assert_allclose(found["near"][part][name], value, rtol=1e-4, atol=1e-6, err_msg=f"{part} {name}")
