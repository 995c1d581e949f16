"""What patch sizes, resolutions and rotary positions ask of one another; each refusal is one line."""

from hjepa.config.data import ViewsConfig
from hjepa.config.learning import EvaluationConfig
from hjepa.config.model import ModelConfig, PredictorConfig
from hjepa.config.target import TargetConfig

#: Patches per side; attention over the 65,536 of such a grid is beyond any device already.
MAX_GRID = 256


def refuse_grids(model: ModelConfig, views: ViewsConfig, evaluation: EvaluationConfig, levels: int) -> None:
    """Raise ValueError for patches that do not tile what an encoder sees, or leave no cell at some of the `levels`."""
    smallest = min(model.training_patches)
    if views.size // smallest > MAX_GRID:
        name = "patch_size" if model.patch_sizes is None else "patch_sizes"
        least = -(-views.size // MAX_GRID)
        raise ValueError(f"model.{name}: got {smallest}; allowed at least {least} at views.size {views.size}")
    least = max(2, 1 << (levels - 1))
    bad = [size for size in model.training_patches if views.size % size or views.size // size < least]
    if model.patch_sizes is not None and bad:
        raise ValueError(
            f"model.patch_sizes: got {list(model.patch_sizes)}; allowed divisors of views.size {views.size} "
            f"up to {views.size // least}"
        )
    uneven = [size for size in model.training_patches if views.local_size % size]
    if views.locals > 0 and uneven:
        raise ValueError(f"views.local_size: got {views.local_size}; allowed multiples of the patch size {uneven[0]}")
    if evaluation.size is not None and evaluation.size % model.patch_size:
        raise ValueError(
            f"evaluation.size: got {evaluation.size}; allowed multiples of model.patch_size {model.patch_size}"
        )


def refuse_prediction(model: ModelConfig, predictor: PredictorConfig, target: TargetConfig) -> None:
    """Raise ValueError where the predictor cannot have the encoder's positions or patch sizes."""
    channels = predictor.width // predictor.heads
    if model.rope != "none" and channels % 4:
        raise ValueError(
            f"predictor.heads: got {predictor.heads}; allowed with model.rope {model.rope} where "
            f"predictor.width / heads = {channels} is divisible by 4"
        )
    if model.patch_sizes is not None and target.features == "pixels":
        raise ValueError(
            f"model.patch_sizes: got {list(model.patch_sizes)}; allowed null where target.features is pixels "
            "(their number would change)"
        )
