"""What is predicted, and the encoder that provides it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hjepa.config.data import Fraction
from hjepa.config.fields import PREDICTS, Section, knob

#: Live condition of what belongs to a target encoder of its own.
FEATURES = {**PREDICTS, "target.features": ["encoder"]}


class TargetConfig(Section):
    """The targets of the prediction."""

    live: ClassVar = PREDICTS

    features: Literal["encoder", "pixels"] = knob(
        "encoder",
        "encoder: embeddings of the whole view; pixels: the patches themselves, as in MAE.",
        effect="training",
        flip="pixels",
        source="I-JEPA (arXiv 2301.08243), Table 7; MAE (arXiv 2111.06377)",
        title="target: encoder features or pixels",
    )
    encoder: Literal["ema", "stop_gradient", "none"] = knob(
        "ema",
        "ema: a moving average of the student; stop_gradient: the student itself, without gradient; "
        "none: the student, with gradient.",
        effect="training",
        flip="stop_gradient",
        when={"target.features": ["encoder"]},
        source="BYOL (arXiv 2006.07733); SimSiam (arXiv 2011.10566); LeJEPA (arXiv 2511.08544) for none",
        title="target encoder: EMA, stop-gradient, none",
    )
    layers: Annotated[int, Field(ge=1)] = knob(
        1,
        "The target is the mean of this many last blocks' outputs, each layer-normalised; 1 is the last one's alone.",
        effect="training",
        flip=2,
        when={"target.features": ["encoder"]},
        source="data2vec (arXiv 2202.03555), section 3.3",
        proof="tests/models/test_hierarchy.py::test_layers_average_the_target_encoders_last_blocks",
        title="layer-averaged target",
    )


class EmaConfig(Section):
    """The momentum of the target encoder."""

    live: ClassVar = {**FEATURES, "target.encoder": ["ema"]}

    start: Fraction = knob(0.996, "Momentum at the first step.", effect="training", flip=0.9, source="I-JEPA B.6")
    end: Fraction = knob(1.0, "Momentum at the last step, reached linearly.", effect="training", flip=0.998)
