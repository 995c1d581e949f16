"""Schedules as pure functions of the step.

Source: I-JEPA code, `utils/schedulers.py` and `train.py` (momentum).
"""

import math


def lr_at(step: int, total: int, warmup: int, *, start: float, peak: float, end: float) -> float:
    """Learning rate of optimiser step `step` in 1..total: linear from start to peak, cosine to end."""
    if step < warmup:
        return start + (peak - start) * step / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return max(end, end + (peak - end) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def weight_decay_at(step: int, total: int, *, start: float, end: float) -> float:
    """Weight decay of step `step` in 1..total: a cosine from start to end."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * step / total))


def momentum_at(step: int, total: int, *, start: float, end: float) -> float:
    """EMA momentum after `step` of `total` steps: linear from start to end."""
    return start + (end - start) * step / total
