"""The configuration: its schema and its only defaults.

Every field is a `knob`: it says what it acts on, one alternative value and when it is live.
"""

from typing import Annotated

from pydantic import Field, model_validator

from hjepa.config.combinations import (
    refuse_crops,
    refuse_labels,
    refuse_late_changes,
    refuse_odd_pairs,
    refuse_parts,
    refuse_terms,
)
from hjepa.config.data import DataConfig, ViewsConfig
from hjepa.config.fields import POSITIVE, SET, Effect, Section, knob
from hjepa.config.grids import refuse_grids, refuse_prediction
from hjepa.config.hierarchy import HierarchyConfig, cell_windows, refuse_levels
from hjepa.config.learning import EvaluationConfig, RuntimeConfig, TrainingConfig
from hjepa.config.metrics import OBJECTIVES, rung_metric
from hjepa.config.model import SIZES, MasksConfig, ModelConfig, PredictorConfig
from hjepa.config.objective import LEVEL_WEIGHTS, ObjectiveConfig, SupervisedConfig
from hjepa.config.optim import OptimConfig
from hjepa.config.target import EmaConfig, TargetConfig
from hjepa.config.terms import (
    CJEPAConfig,
    InvarianceConfig,
    NTXentConfig,
    ProjectorConfig,
    SIGRegConfig,
    VICRegConfig,
)


class Config(Section):
    """One run: everything that decides its result, and how it is executed."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = knob(
        0, "Seed of every random stream of the run.", effect="training", flip=1
    )
    data: DataConfig = DataConfig()
    views: ViewsConfig = ViewsConfig()
    masks: MasksConfig = MasksConfig()
    model: ModelConfig = ModelConfig()
    predictor: PredictorConfig = PredictorConfig()
    hierarchy: HierarchyConfig = HierarchyConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    target: TargetConfig = TargetConfig()
    ema: EmaConfig = EmaConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _combinations(self) -> "Config":
        if self.views.size % self.model.patch_size:
            raise ValueError(
                f"model.patch_size: got {self.model.patch_size}; allowed divisors of views.size {self.views.size}"
            )
        if self.grid < 2:
            raise ValueError(f"model.patch_size: got {self.model.patch_size}; allowed at most {self.views.size // 2}")
        if self.objective.jepa_weight > 0:
            refuse_levels(self.hierarchy, self.model, self.target, self.grid, list(self.grids.values()))
        weights = self.objective.level_weights
        if weights is not None and len(weights) != self.hierarchy.weighted:
            raise ValueError(
                f"objective.level_weights: got {len(weights)} weights; allowed {self.hierarchy.weighted} "
                "(one for each of hierarchy.levels, and for the slots)"
            )
        refuse_labels(self.data, self.objective)
        refuse_odd_pairs(self.views, self.optim, self.runtime)
        refuse_terms(self.objective, self.views, self.masks, self.target)
        refuse_crops(self.views, self.objective, self.model.patch_size)
        refuse_parts(self.objective, self.optim, self.runtime)
        refuse_late_changes(self.optim, self.training)
        micro = self.runtime.micro_batch
        if micro is not None and self.optim.batch_size % micro:
            raise ValueError(
                f"runtime.micro_batch: got {micro}; allowed divisors of optim.batch_size {self.optim.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _grids(self) -> "Config":
        predicts = self.objective.jepa_weight > 0
        refuse_grids(self.model, self.views, self.evaluation, self.hierarchy.levels if predicts else 1)
        if predicts:
            refuse_prediction(self.model, self.predictor, self.target)
        return self

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.views.size // self.model.patch_size

    @property
    def grids(self) -> dict[int, int]:
        """Patch sizes that a training step may have, and the patches per side that each gives."""
        return {size: self.views.size // size for size in self.model.training_patches}

    @property
    def evaluated_views(self) -> ViewsConfig:
        """The views of evaluation, which are not augmented."""
        return self.views.model_copy(update={"size": self.evaluation.size or self.views.size})

    @property
    def local_context(self) -> bool:
        """Whether small crops predict the first global view."""
        return self.views.locals > 0 and self.views.local_mode == "context" and self.objective.jepa_weight > 0

    @property
    def level_weights(self) -> tuple[float, ...]:
        """Weight of each level, finest first."""
        return self.objective.level_weights or LEVEL_WEIGHTS[: self.hierarchy.weighted]

    @property
    def probe_interval(self) -> int:
        """Epochs between cheap probes."""
        return self.evaluation.interval or max(1, round(self.training.epochs / 20))


__all__ = [
    "LEVEL_WEIGHTS",
    "OBJECTIVES",
    "POSITIVE",
    "SET",
    "SIZES",
    "CJEPAConfig",
    "Config",
    "DataConfig",
    "Effect",
    "EmaConfig",
    "EvaluationConfig",
    "HierarchyConfig",
    "InvarianceConfig",
    "MasksConfig",
    "ModelConfig",
    "NTXentConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "PredictorConfig",
    "ProjectorConfig",
    "RuntimeConfig",
    "SIGRegConfig",
    "Section",
    "SupervisedConfig",
    "TargetConfig",
    "TrainingConfig",
    "VICRegConfig",
    "ViewsConfig",
    "cell_windows",
    "knob",
    "rung_metric",
]
