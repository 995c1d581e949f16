"""The hierarchical JEPA: student encoder, EMA target encoder, one prediction per level."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hjepa.config import HierarchyConfig, ModelConfig, PredictorConfig
from hjepa.models.blocks import Attention
from hjepa.models.encoder import Encoder, normalise
from hjepa.models.predictor import Predictor
from hjepa.runtime.streams import initialise


@dataclass(frozen=True)
class Level:
    """Predictions and targets of one level, both [B, G, D]; cells: [B, G] indices into its grid."""

    prediction: Tensor
    target: Tensor
    cells: Tensor


class HJEPA(nn.Module):
    """Predicts, from visible patches, the target encoder's embedding of hidden ones at every level.

    Level 0 predicts the target blocks (G = M * T); level l >= 1 predicts every cell of the target
    map pooled by 2^l, and the objective counts those the child rule calls targets. Queries carry
    positions only, so asking for other cells tells the predictor nothing. With one level this is
    I-JEPA (arXiv 2301.08243).
    """

    def __init__(
        self,
        model: ModelConfig,
        predictor: PredictorConfig,
        hierarchy: HierarchyConfig,
        *,
        grid: int,
        normalise_targets: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.hierarchy = hierarchy
        self.joint = predictor.blocks == "joint"
        self.normalise_targets = normalise_targets
        self.cells = [grid >> level for level in range(hierarchy.levels)]
        self.encoder = Encoder(model, grid)
        shared = hierarchy.predictor == "shared" and hierarchy.levels > 1
        served = [self.cells] if shared else [[count] for count in self.cells]
        self.predictors = nn.ModuleList(Predictor(predictor, self.encoder.width, grid, levels) for levels in served)
        initialise(self.encoder, seed, "encoder", model.init)
        initialise(self.predictors, seed, "predictors", model.init)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.target_encoder.eval()

    def train(self, mode: bool = True) -> "HJEPA":
        """As nn.Module.train; the target encoder stays in evaluation mode."""
        super().train(mode)
        self.target_encoder.eval()
        return self

    def forward(self, images: Tensor, context: Tensor, targets: Tensor, keep: Tensor | None = None) -> list[Level]:
        """One `Level` per level, finest first.

        images: [B, 3, s, s]; context: [B, K] and targets: [B, M, T] patch indices; keep: stochastic
        depth factors of the student, or None.
        """
        maps = self.target_maps(images)
        tokens = self.encoder(images, context, keep)
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

    @torch.no_grad()
    def target_maps(self, images: Tensor) -> list[Tensor]:
        """Target embeddings of every cell of each level, [B, G_l, D], float32, without gradient."""
        tokens = self.target_encoder(images).float()
        finest = normalise(tokens) if self.normalise_targets else tokens
        maps = [finest]
        side = self.cells[0]
        image = finest.transpose(1, 2).unflatten(2, (side, side))
        for count in self.cells[1:]:
            pooled = F.adaptive_avg_pool2d(image, count).flatten(2).transpose(1, 2)
            again = self.normalise_targets and self.hierarchy.renormalise
            maps.append(normalise(pooled) if again else pooled)
        return maps

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """target <- momentum * target + (1 - momentum) * student; parameters only, once per step."""
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
