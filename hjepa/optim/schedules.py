"""Schedules as pure functions of the step."""

import math


def lr_at(step: int, total: int, warmup: int, *, start: float, peak: float, end: float) -> float:
    """Learning rate of optimiser step `step` in 1..total: linear from start to peak, cosine to end.

    Source: I-JEPA code, `utils/schedulers.py`.
    """
    if step < warmup:
        return rising(step, warmup, start, peak)
    progress = (step - warmup) / max(1, total - warmup)
    return max(end, falling(progress, peak, end))


def rising(step: int, warmup: int, start: float, peak: float) -> float:
    """The warm-up: linear from start at step 0 to peak at step `warmup`."""
    return start + (peak - start) * step / warmup


def falling(progress: float, peak: float, end: float) -> float:
    """Half a cosine: peak at progress 0, end at 1."""
    return end + (peak - end) * 0.5 * (1.0 + math.cos(math.pi * progress))


def restarts_at(position: float, span: float, *, first: float, mult: int, peak: float, end: float) -> float:
    """Cosine with warm restarts, at `position` of the `span` steps after the warm-up.

    Cycles last first, first * mult, first * mult^2, ... steps; each begins at peak and falls towards end.
    None begins at the last step, so that cycles which fill the span end it at `end`.
    Source: SGDR (arXiv 1608.03983), equation 5; torch, `CosineAnnealingWarmRestarts`.
    """
    began, length = 0.0, first
    # The tolerance is for cycles that fill the span but for rounding.
    while position >= began + length - 1e-6 and began + length < span - 1e-6:
        began += length
        length *= mult
    return falling(max(0.0, position - began) / length, peak, end)


def stable_at(step: int, total: int, decay: float, *, peak: float, end: float) -> float:
    """The peak, and over the last `decay` steps a straight line to end.

    Source: MiniCPM (arXiv 2404.06395), section 4, for the three phases; the line as in Hägele et al. 2024
    (arXiv 2405.18392).
    """
    progress = max(0.0, step - (total - decay)) / decay
    return peak + (end - peak) * progress


def weight_decay_at(step: int, total: int, *, start: float, end: float) -> float:
    """Weight decay of step `step` in 1..total: a cosine from start to end. Source: I-JEPA code."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * step / total))


def momentum_at(step: int, total: int, *, start: float, end: float) -> float:
    """EMA momentum after `step` of `total` steps: linear from start to end. Source: I-JEPA code, `train.py`."""
    return start + (end - start) * step / total
