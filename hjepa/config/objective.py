"""What training minimises: a weighted sum of terms, each absent at weight 0."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hjepa.config.fields import POSITIVE, PREDICTS, Section, knob
from hjepa.config.terms import (
    CJEPAConfig,
    InvarianceConfig,
    NTXentConfig,
    ProjectorConfig,
    SIGRegConfig,
    VICRegConfig,
)

NonNegative = Annotated[float, Field(ge=0.0)]

#: Live condition of what weighs several levels.
LEVELS = {**PREDICTS, "hierarchy.levels": [2, 3, 4]}
#: Weights of the levels when `objective.level_weights` is null.
LEVEL_WEIGHTS = (1.0, 0.7, 0.5, 0.35, 0.25)


class SupervisedConfig(Section):
    """Cross-entropy of a linear head on the student's pooled tokens: the supervised baseline and fine-tuning."""

    weight: NonNegative = knob(
        0.0, "Weight of the supervised term.", effect="training", flip=1.0, title="supervised term"
    )
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
        title="prediction loss",
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
        "Weight of each level, finest first and slots last; null takes 1, 0.7, 0.5, 0.35, 0.25.",
        effect="training",
        flip=[1.0, 0.1, 0.0],
        when={**LEVELS, "objective.weighting": ["fixed"]},
    )
    weighting: Literal["fixed", "uwso", "kendall"] = knob(
        "fixed",
        "fixed: level_weights; uwso: the softmax of 1 / loss, so that the smallest loss weighs most; "
        "kendall: learned variances.",
        effect="training",
        flip="uwso",
        when=LEVELS,
        source="UW-SO (arXiv 2408.07985); Kendall et al. (arXiv 1705.07115)",
        proof="tests/objectives/test_jepa_objective.py::test_each_level_has_its_weight_in_the_report",
        title="level weighting: fixed, UW-SO, Kendall",
    )
    uwso_temperature: Annotated[float, Field(gt=0.0)] = knob(
        10.0,
        "Divides 1 / loss in uwso; losses of 0.05 to 0.4 need 5 to 50, or one level takes all.",
        effect="training",
        flip=1.0,
        when={**LEVELS, "objective.weighting": ["uwso"]},
        proof="tests/objectives/test_weighting.py::test_uwso_reference_values",
        title="UW-SO: temperature",
    )
    kendall_lr: Annotated[float, Field(gt=0.0)] = knob(
        1e-2,
        "Learning rate of the log variances, the same at every step; they have no weight decay.",
        effect="training",
        flip=0.1,
        when={**LEVELS, "objective.weighting": ["kendall"]},
        proof="tests/training/test_terms_in_step.py::test_log_variances_have_their_own_rate_and_a_floor",
        title="Kendall weighting: learning rate",
    )
    local_weight: Annotated[float, Field(gt=0.0)] = knob(
        1.0,
        "Weight of predicting the first global view from small crops.",
        effect="training",
        flip=0.5,
        when={**PREDICTS, "views.locals": POSITIVE, "views.local_mode": ["context"]},
    )
    vicreg: VICRegConfig = VICRegConfig()
    cjepa: CJEPAConfig = CJEPAConfig()
    ntxent: NTXentConfig = NTXentConfig()
    sigreg: SIGRegConfig = SIGRegConfig()
    invariance: InvarianceConfig = InvarianceConfig()
    projector: ProjectorConfig = ProjectorConfig()
    supervised: SupervisedConfig = SupervisedConfig()

    @model_validator(mode="after")
    def _some_weight(self) -> "ObjectiveConfig":
        if self.level_weights is not None and not sum(self.level_weights) > 0:
            raise ValueError("level_weights: got no positive weight; allowed at least one above 0")
        if not (self.jepa_weight > 0 or self.supervised.weight > 0 or self.pooled):
            raise ValueError("jepa_weight: got 0 and no other term; allowed at least one term with a weight above 0")
        return self

    @property
    def pooled(self) -> dict[str, str]:
        """What each term on pooled embeddings acts on, by the name of the term, for those with a weight above 0."""
        terms: dict[str, VICRegConfig | CJEPAConfig | NTXentConfig | SIGRegConfig | InvarianceConfig] = {
            "vicreg": self.vicreg,
            "cjepa": self.cjepa,
            "ntxent": self.ntxent,
            "sigreg": self.sigreg,
            "invariance": self.invariance,
        }
        return {name: term.on for name, term in terms.items() if term.weight > 0}

    @property
    def embeddings(self) -> frozenset[str]:
        """The pooled embeddings that the terms compare."""
        of_cjepa = {
            "context_mean": ("context", "prediction", "target"),
            "predicted_block_pairs": ("blocks",),
            "two_views": ("context",),
        }
        return frozenset(name for on in self.pooled.values() for name in of_cjepa.get(on, (on,)))

    @property
    def batch_statistics(self) -> str | None:
        """The first field by which a step's loss is no sum over parts of its batch, if any."""
        for name in self.pooled:
            if name != "invariance":
                return f"objective.{name}.weight"
        projector = self.projector
        if projector.layers > 1 and projector.norm == "batch":
            return "objective.projector.norm"
        return "objective.weighting" if self.jepa_weight > 0 and self.weighting == "uwso" else None
