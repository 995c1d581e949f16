"""The configuration: its schema and its only defaults.

Every field is a `knob`: it says what it acts on, one alternative value and when it is live.
"""

from typing import Annotated

from pydantic import Field, model_validator

from hjepa.config.data import DataConfig, ViewsConfig
from hjepa.config.fields import POSITIVE, SET, Effect, Section, knob
from hjepa.config.learning import EvaluationConfig, RuntimeConfig, TrainingConfig
from hjepa.config.metrics import OBJECTIVES, rung_metric
from hjepa.config.model import SIZES, HierarchyConfig, MasksConfig, ModelConfig, PredictorConfig
from hjepa.config.objective import LEVEL_WEIGHTS, ObjectiveConfig, SupervisedConfig
from hjepa.config.optim import OptimConfig
from hjepa.config.target import EmaConfig, TargetConfig


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
        if self.grid >> (self.hierarchy.levels - 1) < 1:
            raise ValueError(
                f"hierarchy.levels: got {self.hierarchy.levels}; a {self.grid}x{self.grid} grid allows at most "
                f"{self.grid.bit_length()}"
            )
        weights = self.objective.level_weights
        if weights is not None and len(weights) != self.hierarchy.levels:
            raise ValueError(
                f"objective.level_weights: got {len(weights)} weights; allowed {self.hierarchy.levels} "
                "(one for each of hierarchy.levels)"
            )
        if self.data.dataset == "imagefolder" and (self.data.folder is None or self.data.image_size is None):
            missing = "data.folder" if self.data.folder is None else "data.image_size"
            raise ValueError(f"{missing}: got null; data.dataset imagefolder needs it")
        micro = self.runtime.micro_batch
        if micro is not None and self.optim.batch_size % micro:
            raise ValueError(
                f"runtime.micro_batch: got {micro}; allowed divisors of optim.batch_size {self.optim.batch_size}"
            )
        return self

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.views.size // self.model.patch_size

    @property
    def level_weights(self) -> tuple[float, ...]:
        """Weight of each level, finest first."""
        return self.objective.level_weights or LEVEL_WEIGHTS[: self.hierarchy.levels]

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
    "Config",
    "DataConfig",
    "Effect",
    "EmaConfig",
    "EvaluationConfig",
    "HierarchyConfig",
    "MasksConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "PredictorConfig",
    "RuntimeConfig",
    "Section",
    "SupervisedConfig",
    "TargetConfig",
    "TrainingConfig",
    "ViewsConfig",
    "knob",
    "rung_metric",
]
