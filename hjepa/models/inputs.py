"""What goes into the model in one step, and what comes out."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """One micro-batch of B images on the device, with V global views of each, view after view.

    views: [V * B, 3, s, s]; student: the same with the context corrupted (None: nothing is), what the
    student sees in place of `views`; context: [V * B, K] and targets: [V * B, M, T] patch indices (None
    where nothing is predicted); keep: stochastic-depth factors [2 * depth, V * B] of the passes over
    context tokens, keep_whole: of those over whole views; locals: [L * B, 3, t, t] small crops, crop
    after crop, with keep_locals; places: [L * B, P, 2] centres (row, column) of their patches in the
    first view's grid and around: [L * B, T'] the cells of that view which they predict (None: none).
    """

    views: Tensor
    count: int = 1
    student: Tensor | None = None
    context: Tensor | None = None
    targets: Tensor | None = None
    keep: Tensor | None = None
    keep_whole: Tensor | None = None
    locals: Tensor | None = None
    keep_locals: Tensor | None = None
    places: Tensor | None = None
    around: Tensor | None = None

    @property
    def images(self) -> Tensor:
        """What the student sees of the global views."""
        return self.views if self.student is None else self.student


@dataclass(frozen=True)
class Level:
    """Predictions and targets of one level, both [V * B, G, D]; cells: [V * B, G] indices into its grid."""

    prediction: Tensor
    target: Tensor
    cells: Tensor


@dataclass(frozen=True)
class Outputs:
    """What the objective's terms need.

    levels: finest first, empty where nothing is predicted; local: the predictions from small crops;
    embeddings: pooled tokens by name, see `Wants`; logits: [V * B, classes] of the classifier.
    """

    levels: list[Level] = field(default_factory=list)
    local: Level | None = None
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    projections: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


@dataclass(frozen=True)
class Wants:
    """What the objective asks of the model; the rest is neither built nor computed.

    predicts: predictions of hidden regions. embeddings: names among `context` (mean of the student's
    context tokens, [V, B, D]), `view` (mean of the student's tokens of the whole view, small crops
    appended, [V + L, B, D]), `prediction` and `target` (means over the level-0 predictions and their
    targets, [V, B, D]) and `blocks` (mean prediction of each target block, [V * B, M, D]). projected:
    those of them that the projector maps, too. classes: of a linear classifier of the `view`, or None.
    """

    predicts: bool = True
    normalise_targets: bool = True
    embeddings: frozenset[str] = frozenset()
    projected: frozenset[str] = frozenset()
    classes: int | None = None
