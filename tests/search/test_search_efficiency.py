"""With early stopping a search is as good as random search for a third of its epochs, on simulated curves."""

import numpy as np
import pytest

from benchmarks import search_efficiency as benchmark


def test_the_optimum_is_known_and_curves_cross() -> None:
    best = np.array([at for _, _, at in benchmark.CUBE.values()])
    assert benchmark.final_score(best) == benchmark.BEST
    points = np.random.default_rng(1).random((500, len(best)))
    assert max(benchmark.final_score(point) for point in points) < benchmark.BEST
    assert benchmark.curve(best, "crossing")[-1] == pytest.approx(benchmark.BEST)
    assert benchmark.agreement("alike", 1) == pytest.approx(1.0)
    assert benchmark.agreement("crossing", 3) < 0.75


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["TPE + ASHA, stopping", "TPE + ASHA, promotion"])
@pytest.mark.parametrize("landscape", benchmark.LANDSCAPES)
def test_a_third_of_the_epochs_suffices(arm: str, landscape: str) -> None:
    reached = [benchmark.reaches(arm, landscape, seed, 1 / 3) for seed in range(3)]
    assert sum(reached) >= 2
