"""What goes into the model in one step, and what comes out."""

from dataclasses import dataclass, field

from torch import Tensor

from hjepa.config import ProjectorConfig


@dataclass(frozen=True)
class Inputs:
    """One micro-batch of B images on the device, with V global views of each, view after view.

    views: [V * B, 3, s, s]; student: the same with the context corrupted (None: nothing is), what the
    student sees in place of `views`; context: [V * B, K] and targets: [V * B, M, T] patch indices (None
    where nothing is predicted); keep: stochastic-depth factors [2 * depth, V * B] of the passes over
    context tokens, keep_whole: of those over whole views; locals: [L * B, 3, t, t] small crops, crop
    after crop, with keep_locals; places: [L * B, P, 2] centres (row, column) of their patches in the
    first view's grid and around: [L * B, T'] the cells of that view which they predict (None: none);
    noise: [S, W] standard normal, where the slots start (None: there are no slots); patch_size: of this step
    (None: the model's), whose grid all indices belong to, while places are in that of the model's own.
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
    noise: Tensor | None = None
    patch_size: int | None = None

    @property
    def images(self) -> Tensor:
        """What the student sees of the global views."""
        return self.views if self.student is None else self.student


@dataclass(frozen=True)
class Level:
    """Predictions and targets of one level, both [V * B, G, D]; cells: [V * B, G] indices of its cells, or slots."""

    prediction: Tensor
    target: Tensor
    cells: Tensor


@dataclass(frozen=True)
class Outputs:
    """What the objective's terms need.

    levels: finest first, empty where nothing is predicted; log_variances: [levels], where they are
    learned; local: the predictions from small crops; embeddings: of the batch over all workers, float32,
    by name, see `Wants`; logits: [V * B, classes] of the classifier.
    """

    levels: list[Level] = field(default_factory=list)
    log_variances: Tensor | None = None
    local: Level | None = None
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


@dataclass(frozen=True)
class Wants:
    """What the objective asks of the model; the rest is neither built nor computed.

    predicts: predictions of hidden regions. embeddings: names among `context` (mean of the student's
    context tokens, [V, B, D]), `view` (mean of the student's tokens of the whole view, small crops
    appended, [V + L, B, D]), `prediction` and `target` (means over the level-0 predictions and their
    targets, [V, B, D]) and `blocks` (mean prediction of each target block, [V, B, M, D]). projector: the
    map through which all of them pass, or None. log_variances: a learned one for each level. classes: of
    a linear classifier of the whole view, or None.
    """

    predicts: bool = True
    normalise_targets: bool = True
    embeddings: frozenset[str] = frozenset()
    projector: ProjectorConfig | None = None
    log_variances: bool = False
    classes: int | None = None

    @property
    def whole(self) -> bool:
        """Whether the student sees whole views."""
        return "view" in self.embeddings or self.classes is not None
