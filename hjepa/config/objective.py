"""What training minimises: a weighted sum of terms, each absent at weight 0."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hjepa.config.fields import POSITIVE, PREDICTS, Section, knob

NonNegative = Annotated[float, Field(ge=0.0)]

#: Weights of the levels when `objective.level_weights` is null.
LEVEL_WEIGHTS = (1.0, 0.7, 0.5, 0.35)


class SupervisedConfig(Section):
    """Cross-entropy of a linear head on the student's pooled tokens: the supervised baseline and fine-tuning."""

    weight: NonNegative = knob(0.0, "Weight of the supervised term.", effect="training", flip=1.0)
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.0,
        "Share of the label spread over all classes.",
        effect="training",
        flip=0.1,
        when={"objective.supervised.weight": POSITIVE},
        source="Szegedy et al. 2016 (arXiv 1512.00567)",
    )


class ObjectiveConfig(Section):
    """The weight of each term, and the distance between predictions and targets."""

    jepa_weight: NonNegative = knob(
        1.0,
        "Weight of the prediction of hidden regions; at 0 there are no masks, no predictor and no target.",
        effect="training",
        flip=0.0,
        together={"objective.supervised.weight": 1.0},
    )
    loss: Literal["smooth_l1", "mse", "l1", "cosine"] = knob(
        "smooth_l1",
        "Distance between prediction and target.",
        effect="training",
        flip="mse",
        when=PREDICTS,
        source="I-JEPA code",
    )
    beta: Annotated[float, Field(gt=0.0)] = knob(
        1.0,
        "Where smooth-L1 turns from quadratic to linear.",
        effect="training",
        flip=0.1,
        when={**PREDICTS, "objective.loss": ["smooth_l1"]},
    )
    normalise_targets: bool = knob(
        True,
        "Layer-normalise the targets (no affine).",
        effect="training",
        flip=False,
        when=PREDICTS,
        source="I-JEPA code",
    )
    level_weights: tuple[NonNegative, ...] | None = knob(
        None,
        "Weight of each level, finest first; null takes 1, 0.7, 0.5, 0.35.",
        effect="training",
        flip=[1.0, 0.1, 0.0],
        when={**PREDICTS, "hierarchy.levels": [2, 3, 4]},
    )
    supervised: SupervisedConfig = SupervisedConfig()

    @model_validator(mode="after")
    def _some_weight(self) -> "ObjectiveConfig":
        if self.level_weights is not None and not sum(self.level_weights) > 0:
            raise ValueError("level_weights: got no positive weight; allowed at least one above 0")
        if not (self.jepa_weight > 0 or self.supervised.weight > 0):
            raise ValueError("jepa_weight: got 0 and no other term; allowed at least one term with a weight above 0")
        return self
