"""What a rule is expected to spend before anything has run: the rule itself, replayed on curves made up for it.

No trial is known to be better than another, so their qualities are draws from one normal distribution. A curve rises
and levels off, by RISE of that distribution's standard deviations over the budget, and what is measured of it has
a noise of NOISE of them: the order of trials at a rung correlates with that at the end by 0.9.
"""

from collections.abc import Callable, Sequence

import numpy as np

from hjepa.search.stopping.replay import replay
from hjepa.search.stopping.rule import Rule

RISE, NOISE = 3.0, 1 / 3
#: Trials of a replay, at most, and replays whose mean is the answer.
TRIALS, ORDERS = 64, 4


def expected_share(make: Callable[[], Rule], reports: Sequence[int], trials: int, seed: int = 0) -> float:
    """The share of all epochs that a study of so many trials spends under a rule.

    `make` gives a fresh rule, `reports` are the epochs at which a trial scores, the last of them the full budget. Of
    more than TRIALS trials, those count as TRIALS do: what a rule waits for at the start is behind it by then.
    """
    rng = np.random.default_rng(seed)
    epochs = np.asarray(reports, dtype=np.float64)
    rise = RISE * (1.0 - np.exp(-3.0 * epochs / epochs[-1]))
    shares = []
    for _ in range(ORDERS):
        count = min(trials, TRIALS)
        scores = rng.normal(size=(count, 1)) + rise + NOISE * rng.normal(size=(count, len(reports)))
        curves = {f"{number}": dict(zip(reports, row.tolist(), strict=True)) for number, row in enumerate(scores)}
        shares.append(1.0 - replay(make(), curves).saved)
    return float(np.mean(shares))
