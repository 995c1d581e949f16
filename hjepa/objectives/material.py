"""What the terms are computed from, and what they give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Terms:
    """The loss to differentiate and its named parts.

    named: detached scalars that add up over the parts of a batch; facts: values that all parts share;
    weighted: what each term adds to the total, to be differentiated on its own.
    """

    total: Tensor
    named: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Tensor | float] = field(default_factory=dict)
    weighted: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """One part of a batch, as the model gave it, such that the parts' losses add up to the batch's.

    predictions, targets: [B', G, D] per level, finest first, of the part's B' = V * B views; valid:
    [B', G] booleans, or None for all; counts: valid cells of the level in the whole batch, over all
    parts. log_variances: [levels], where they are learned. local: prediction and target from small
    crops, with local_count cells in the whole batch. embeddings: by name, see the model's `Wants`; of
    all workers. logits: [B', classes] and labels: the same shape, distributions over classes. views: B'
    of the whole batch. global_count: V. share: the part's share of the batch. step: the optimiser step.
    """

    predictions: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)
    valid: list[Tensor | None] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    log_variances: Tensor | None = None
    local: tuple[Tensor, Tensor] | None = None
    local_count: float = 1.0
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    labels: Tensor | None = None
    views: int = 1
    global_count: int = 1
    share: float = 1.0
    step: int = 1

    @property
    def device(self) -> torch.device:
        """Where it all lies."""
        logits = [] if self.logits is None else [self.logits]
        return next(iter([*self.predictions, *self.embeddings.values(), *logits])).device

    def global_views(self, name: str) -> Tensor:
        """The embedding `name` of the global views, [V, N, D]."""
        return self.embeddings[name][: self.global_count]


#: One term: its loss before its weight, and its parts.
Term = Callable[[Material], Terms]
