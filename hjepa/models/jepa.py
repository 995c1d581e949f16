"""The hierarchical JEPA: student encoder, EMA target encoder, one prediction per level."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.config import HierarchyConfig, ModelConfig, PredictorConfig, TargetConfig
from hjepa.models.blocks import Attention, rescale_by_depth
from hjepa.models.encoder import Encoder, normalise
from hjepa.models.inputs import Inputs, Level, Outputs, Wants
from hjepa.models.log_variances import LogVariances
from hjepa.models.predictor import Predictor
from hjepa.models.projector import Projector
from hjepa.runtime.collective import gathered
from hjepa.runtime.streams import initialise


class HJEPA(nn.Module):
    """Predicts, from visible patches, the target encoder's embedding of hidden ones at every level.

    Level 0 predicts the target blocks (G = M * T); level l >= 1 predicts every cell of the target
    map pooled by 2^l, and the objective counts those the child rule calls targets. Queries carry
    positions only, so asking for other cells tells the predictor nothing. With one level this is
    I-JEPA (arXiv 2301.08243). What `wants` does not ask for is neither built nor computed.
    """

    def __init__(
        self,
        model: ModelConfig,
        predictor: PredictorConfig,
        hierarchy: HierarchyConfig,
        target: TargetConfig,
        wants: Wants,
        *,
        grid: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.hierarchy, self.target, self.wants = hierarchy, target, wants
        self.joint = predictor.blocks == "joint"
        self.cells = [grid >> level for level in range(hierarchy.levels)]
        self.encoder = Encoder(model, grid)
        self.predictors = nn.ModuleList(self._make_predictors(predictor, grid) if wants.predicts else [])
        self.log_variances = LogVariances(hierarchy.levels) if wants.predicts and wants.log_variances else None
        self.projector = Projector(self.encoder.width, wants.projector) if wants.projector is not None else None
        self.classifier = nn.Linear(self.encoder.width, wants.classes) if wants.classes is not None else None
        for name, part in self.named_children():
            initialise(part, seed, name, model.init)
        if model.depth_rescale:
            for part in (self.encoder, *self.predictors):
                rescale_by_depth(part.blocks)
        self.target_encoder: Encoder | None = None
        if wants.predicts and target.features == "encoder" and target.encoder == "ema":
            self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False).eval()

    def _make_predictors(self, config: PredictorConfig, grid: int) -> list[Predictor]:
        shared = self.hierarchy.predictor == "shared" and self.hierarchy.levels > 1
        levels = list(range(self.hierarchy.levels))
        served = [levels] if shared else [[level] for level in levels]
        encoder = self.encoder
        wide = encoder.width if self.target.features == "encoder" else 3 * encoder.patch_size**2
        return [Predictor(config, encoder.config, wide, grid, levels) for levels in served]

    @property
    def evaluated(self) -> Encoder:
        """The encoder that probes see: the moving average, or the student where there is none."""
        return self.encoder if self.target_encoder is None else self.target_encoder

    def train(self, mode: bool = True) -> "HJEPA":
        """As nn.Module.train; the target encoder stays in evaluation mode."""
        super().train(mode)
        if self.target_encoder is not None:
            self.target_encoder.eval()
        return self

    def forward(self, inputs: Inputs) -> Outputs:
        """Predictions, pooled embeddings and logits: what `wants` asks for."""
        levels: list[Level] = []
        local = None
        pooled: dict[str, Tensor] = {}
        if self.wants.predicts:
            maps = self.target_maps(inputs.views)
            assert inputs.context is not None
            tokens = self.encoder(inputs.images, inputs.context, inputs.keep)
            levels = self._levels(tokens, inputs, maps)
            pooled = self._pooled(tokens, levels[0], inputs)
            if inputs.around is not None:
                local = self._local(inputs, inputs.around, maps[0][: len(inputs.views) // inputs.count])
        if self.wants.whole:
            pooled["view"] = self._whole(inputs)
        logits = None
        if self.classifier is not None:
            logits = self.classifier(pooled["view"][: inputs.count].flatten(0, 1))
        log_variances = None if self.log_variances is None else self.log_variances()
        return Outputs(levels, log_variances, local, self._compared(pooled), logits)

    def _compared(self, pooled: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the terms compare: the embeddings of all workers, through the projector where there is one."""
        rows = {name: gathered(pooled[name].float(), dim=1) for name in sorted(self.wants.embeddings)}
        return rows if self.projector is None else {name: self.projector(each) for name, each in rows.items()}

    def _local(self, inputs: Inputs, around: Tensor, first: Tensor) -> Level:
        """Each small crop's tokens predict cells of the first view's finest map, [L * B, T', D].

        The tokens lie where their crop lies in that view; the queries are cells of its grid.
        """
        assert inputs.locals is not None
        tokens = self.encoder(inputs.locals, None, inputs.keep_locals)
        predicted = self.predictors[0](tokens, None, around.unsqueeze(1), places=inputs.places).flatten(1, 2)
        whole = first.repeat(len(around) // len(first), 1, 1)
        wanted = whole.gather(1, around.unsqueeze(-1).expand(-1, -1, whole.shape[-1]))
        return Level(predicted, wanted, around)

    def _pooled(self, tokens: Tensor, finest: Level, inputs: Inputs) -> dict[str, Tensor]:
        """The embeddings that come with the prediction."""
        assert inputs.targets is not None
        blocks = finest.prediction.unflatten(1, inputs.targets.shape[1:])
        made = {
            "context": lambda: _by_view(tokens.float().mean(1), inputs.count),
            "prediction": lambda: _by_view(finest.prediction.float().mean(1), inputs.count),
            "target": lambda: _by_view(finest.target.mean(1), inputs.count),
            "blocks": lambda: _by_view(blocks.float().mean(2), inputs.count),
        }
        return {name: make() for name, make in made.items() if name in self.wants.embeddings}

    def _whole(self, inputs: Inputs) -> Tensor:
        """Mean tokens of the student over whole views and small crops, [V + L, B, D]."""
        whole = _by_view(self.encoder(inputs.images, None, inputs.keep_whole).float().mean(1), inputs.count)
        if inputs.locals is None or inputs.around is not None:
            return whole
        small = self.encoder(inputs.locals, None, inputs.keep_locals).float().mean(1)
        return torch.cat([whole, small.view(-1, *whole.shape[1:])])

    def _levels(self, tokens: Tensor, inputs: Inputs, maps: list[Tensor]) -> list[Level]:
        """One `Level` per level, finest first."""
        images, context, targets = inputs.views, inputs.context, inputs.targets
        assert context is not None and targets is not None
        queries = targets.flatten(1).unsqueeze(1) if self.joint else targets
        levels = []
        for level, whole in enumerate(maps):
            if level:
                everywhere = torch.arange(whole.shape[1], device=images.device)
                queries = everywhere.expand(len(images), 1, -1)
            predicted = self._predict(tokens, context, queries, level).flatten(1, 2)
            cells = queries.flatten(1)
            wanted = whole if level else whole.gather(1, cells.unsqueeze(-1).expand(-1, -1, whole.shape[-1]))
            levels.append(Level(predicted, wanted, cells))
        return levels

    def _predict(self, tokens: Tensor, context: Tensor, queries: Tensor, level: int) -> Tensor:
        if len(self.predictors) == 1:
            out: Tensor = self.predictors[0](tokens, context, queries, level)
        else:
            out = self.predictors[level](tokens, context, queries)
        return out

    def target_maps(self, images: Tensor) -> list[Tensor]:
        """Target of every cell of each level, [B, G_l, D], float32.

        Without gradient, unless `target.encoder` is none. D is the encoder's width, or 3 p^2 for pixels.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.target.encoder == "none"):
            return self._pyramid(self._target_tokens(images).float())

    def _target_tokens(self, images: Tensor) -> Tensor:
        if self.target.features == "pixels":
            return self.encoder.patches(images)
        tokens: Tensor = self.evaluated(images)
        return tokens

    def _pyramid(self, tokens: Tensor) -> list[Tensor]:
        normalises = self.wants.normalise_targets
        finest = normalise(tokens) if normalises else tokens
        maps = [finest]
        side = self.cells[0]
        image = finest.transpose(1, 2).unflatten(2, (side, side))
        for count in self.cells[1:]:
            pooled = F.adaptive_avg_pool2d(image, count).flatten(2).transpose(1, 2)
            again = normalises and self.hierarchy.renormalise
            maps.append(normalise(pooled) if again else pooled)
        return maps

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """target <- momentum * target + (1 - momentum) * student; parameters only, once per step."""
        if self.target_encoder is None:
            return
        theirs: list[Tensor] = list(self.target_encoder.parameters())
        ours: list[Tensor] = list(self.encoder.parameters())
        torch._foreach_mul_(theirs, momentum)
        torch._foreach_add_(theirs, ours, alpha=1.0 - momentum)

    def set_kernel(self, kernel: str) -> None:
        """Use this attention kernel in every block of encoder, target encoder and predictors."""
        for part in self.modules():
            if isinstance(part, Attention):
                part.kernel = kernel

    def trainable(self) -> dict[str, nn.Parameter]:
        """Named parameters that the optimiser sees."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def _by_view(rows: Tensor, count: int) -> Tensor:
    """[V * B, ...] -> [V, B, ...]."""
    return rows.unflatten(0, (count, -1))
