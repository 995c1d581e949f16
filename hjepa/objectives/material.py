"""What the terms are computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Terms:
    """The loss to differentiate and its named parts (detached scalars)."""

    total: Tensor
    named: dict[str, Tensor]


@dataclass(frozen=True)
class Material:
    """One part of a batch, as the model gave it, such that the parts' losses add up to the batch's.

    predictions, targets: [B', G, D] per level, finest first, of the part's B' = V * B views; valid:
    [B', G] booleans, or None for all; counts: valid cells of the level in the whole batch, over all
    parts. local: prediction and target from small crops, with local_count cells in the whole batch.
    embeddings, projections: by name, see the model's `Wants`. logits: [B', classes] and labels: the
    same shape, distributions over classes. views: B' of the whole batch. step: the optimiser step.
    """

    predictions: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)
    valid: list[Tensor | None] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    local: tuple[Tensor, Tensor] | None = None
    local_count: float = 1.0
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    projections: Mapping[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    labels: Tensor | None = None
    views: int = 1
    step: int = 1
