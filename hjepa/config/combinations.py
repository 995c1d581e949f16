"""What the objective's terms ask of views, masks and targets; each refusal is one line."""

from hjepa.config.data import DataConfig, ViewsConfig
from hjepa.config.learning import RuntimeConfig, TrainingConfig
from hjepa.config.model import MasksConfig
from hjepa.config.objective import ObjectiveConfig
from hjepa.config.optim import OptimConfig
from hjepa.config.target import TargetConfig


def refuse_terms(objective: ObjectiveConfig, views: ViewsConfig, masks: MasksConfig, target: TargetConfig) -> None:
    """Raise ValueError for a term that has nothing to act on."""
    _refuse_embeddings(objective)
    _refuse_views(objective, views)
    _refuse_blocks(objective, masks)
    _refuse_projector(objective, target)


def refuse_crops(views: ViewsConfig, objective: ObjectiveConfig, patch: int) -> None:
    """Raise ValueError for small crops that nothing uses or that have no whole patches."""
    if not views.locals:
        return
    if views.local_size % patch:
        raise ValueError(f"views.local_size: got {views.local_size}; allowed multiples of model.patch_size {patch}")
    if views.local_mode == "context" and not objective.jepa_weight > 0:
        raise ValueError("views.local_mode: got context; allowed embedding (objective.jepa_weight is 0)")


def refuse_late_changes(optim: OptimConfig, training: TrainingConfig) -> None:
    """Raise ValueError for a change of the rates after the end of the run."""
    last = max((change.epoch for change in optim.changes or ()), default=-1)
    if last >= training.epochs:
        raise ValueError(
            f"optim.changes: got a change after {last} epochs; allowed before the end, epoch {training.epochs}"
        )


def refuse_parts(objective: ObjectiveConfig, optim: OptimConfig, runtime: RuntimeConfig) -> None:
    """Raise ValueError for a batch in parts where their losses do not add up to the batch's."""
    field = objective.batch_statistics
    if field is None:
        return
    if runtime.micro_batch is not None:
        raise ValueError(
            f"runtime.micro_batch: got {runtime.micro_batch}; allowed null with {field}, which sees the whole batch"
        )
    if optim.batch_schedule != "constant":
        raise ValueError(
            f"optim.batch_schedule: got {optim.batch_schedule}; allowed constant with {field}, "
            "which sees the whole batch (it grows by accumulation)"
        )


def refuse_labels(data: DataConfig, objective: ObjectiveConfig) -> None:
    """Raise ValueError for a term that learns labels which some training images do not have."""
    weight = objective.supervised.weight
    if not weight > 0:
        return
    if data.dataset == "mixture":
        raise ValueError(
            f"objective.supervised.weight: got {weight}; allowed 0 with data.dataset mixture, "
            "as the labels of two data sets do not mean the same"
        )
    if data.dataset == "stl10" and data.stl10 != "labelled":
        raise ValueError(f"data.stl10: got {data.stl10}; allowed labelled with objective.supervised.weight above 0")


def refuse_odd_pairs(views: ViewsConfig, optim: OptimConfig, runtime: RuntimeConfig) -> None:
    """Raise ValueError for parts of a batch that cannot be mixed in pairs."""
    if not views.mixes:
        return
    for name, count in (("optim.batch_size", optim.batch_size), ("runtime.micro_batch", runtime.micro_batch or 2)):
        if count % 2:
            raise ValueError(f"{name}: got {count}; allowed even numbers with views.mixup or views.cutmix")


def _refuse_embeddings(objective: ObjectiveConfig) -> None:
    for name, on in objective.pooled.items():
        if on != "view" and not objective.jepa_weight > 0:
            allowed = "view" if name != "cjepa" else "no C-JEPA"
            raise ValueError(f"objective.{name}.on: got {on}; allowed {allowed} (objective.jepa_weight is 0)")
    vicreg = objective.vicreg
    if vicreg.weight > 0 and not vicreg.std + vicreg.cov + vicreg.inv > 0:
        raise ValueError("objective.vicreg.std: got 0; allowed above 0 where inv and cov are 0, too")
    cjepa = objective.cjepa
    if cjepa.weight > 0 and not cjepa.sim + cjepa.std + cjepa.cov > 0:
        raise ValueError("objective.cjepa.std: got 0; allowed above 0 where sim and cov are 0, too")


def _refuse_views(objective: ObjectiveConfig, views: ViewsConfig) -> None:
    pooled = objective.pooled
    one = "(views.globals is 1)"
    if views.globals < 2:
        if "ntxent" in pooled:
            raise ValueError(f"objective.ntxent.weight: got {objective.ntxent.weight:g}; allowed 0 {one}")
        if pooled.get("cjepa") == "two_views":
            raise ValueError(f"objective.cjepa.on: got two_views; allowed context_mean, predicted_block_pairs {one}")
        vicreg = objective.vicreg
        if "vicreg" in pooled and not vicreg.std + vicreg.cov > 0:
            raise ValueError(f"objective.vicreg.std: got 0; allowed above 0 where cov is 0, too {one}")
    compared = views.locals > 0 and views.local_mode == "embedding"
    if compared and not {pooled.get("sigreg"), pooled.get("invariance")} & {"view"}:
        raise ValueError(
            f"views.locals: got {views.locals}; allowed 0, or objective.invariance or objective.sigreg on view, "
            "or views.local_mode context"
        )
    many = views.globals + (views.locals if compared and pooled.get("invariance") == "view" else 0)
    if "invariance" in pooled and many < 2:
        raise ValueError(f"objective.invariance.weight: got {objective.invariance.weight:g}; allowed 0 {one}")


def _refuse_blocks(objective: ObjectiveConfig, masks: MasksConfig) -> None:
    if objective.pooled.get("cjepa") != "predicted_block_pairs":
        return
    several = {"multiblock": masks.num_targets > 1, "raster": True}
    if not several.get(masks.strategy, False):
        raise ValueError(
            "objective.cjepa.on: got predicted_block_pairs; allowed context_mean, two_views "
            f"(masks.strategy {masks.strategy} has one target block)"
        )


def _refuse_projector(objective: ObjectiveConfig, target: TargetConfig) -> None:
    layers = objective.projector.layers
    if not layers:
        return
    if not objective.pooled:
        raise ValueError(f"objective.projector.layers: got {layers}; allowed 0 (no term sees its projection)")
    predicted = objective.embeddings & {"prediction", "target", "blocks"}
    if predicted and target.features == "pixels":
        raise ValueError(
            f"objective.projector.layers: got {layers}; allowed 0 with a term on predictions of pixels "
            "(target.features is pixels)"
        )
