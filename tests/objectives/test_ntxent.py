"""Claims: NT-Xent has the reference values, is symmetric in the views, and is log(2N - 1) for equal embeddings."""

import math

import pytest
import torch

from hjepa.objectives.ntxent import ntxent
from tests.objectives.oracle import det


@pytest.mark.parametrize(("temperature", "value"), [(0.1, 2.1002164), (0.5, 1.8361190)])
def test_reference_values(temperature: float, value: float) -> None:
    assert float(ntxent(det(8, 6), det(8, 6, a=0.39), temperature)) == pytest.approx(value, abs=5e-8)


def test_equal_embeddings_and_swapped_views() -> None:
    assert float(ntxent(torch.ones(8, 6), torch.ones(8, 6), 0.1)) == pytest.approx(math.log(15), abs=1e-6)
    first, second = det(8, 6), det(8, 6, a=0.39)
    assert torch.allclose(ntxent(first, second, 0.1), ntxent(second, first, 0.1))
    assert torch.allclose(ntxent(first, second, 0.1), ntxent(3.0 * first, second, 0.1))
