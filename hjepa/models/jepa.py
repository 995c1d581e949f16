"""The hierarchical JEPA: student encoder, EMA target encoder, one prediction per level."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from hjepa.config import HierarchyConfig, ModelConfig, PredictorConfig, TargetConfig
from hjepa.models.blocks import Attention, Block, rescale_by_depth
from hjepa.models.context_levels import ContextLevels
from hjepa.models.cross_level import CrossAttention
from hjepa.models.encoder import Encoder
from hjepa.models.inputs import Inputs, Level, Outputs, Wants
from hjepa.models.level_targets import LevelTargets, pool_level
from hjepa.models.log_variances import LogVariances
from hjepa.models.predictor import Predictor
from hjepa.models.projector import Projector
from hjepa.models.slots import SlotAttention, SlotPredictor, slot_targets
from hjepa.runtime.collective import gathered
from hjepa.runtime.compiler import compile_parts
from hjepa.runtime.streams import initialise


class HJEPA(nn.Module):
    """Predicts, from visible patches, the target encoder's embedding of hidden ones at every level.

    Level 0 predicts the target blocks (G = M * T); level l >= 1 predicts every cell of the target
    map pooled by 2^l, and the objective counts those the child rule calls targets. Queries carry
    positions only, so asking for other cells tells the predictor nothing. With one level this is
    I-JEPA (arXiv 2301.08243). Slots, where asked for, are one more level on top, [V * B, S, W]. What
    `wants` does not ask for is neither built nor computed.
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
        self.encoder = Encoder(model, grid)
        self.level_targets = self._make_targets()
        self.predictors = nn.ModuleList(self._make_predictors(predictor, grid) if wants.predicts else [])
        self.context_levels = self._make_contexts(model.shape[2]) if wants.predicts else None
        self.slot_predictor = self._make_slots(predictor.width) if wants.predicts else None
        self.log_variances = LogVariances(hierarchy.weighted) if wants.predicts and wants.log_variances else None
        self.projector = Projector(self.encoder.width, wants.projector) if wants.projector is not None else None
        self.classifier = nn.Linear(self.encoder.width, wants.classes) if wants.classes is not None else None
        if self.classifier is not None:
            nn.init.zeros_(self.classifier.bias)  # as everywhere; torch's own draw is no named stream
        for name, part in self.named_children():
            initialise(part, seed, name, model.init)
        if model.depth_rescale:
            for part in (self.encoder, *self.predictors):
                rescale_by_depth(part.blocks)
        self.target_encoder: Encoder | None = None
        self.target_slots: SlotAttention | None = None
        if wants.predicts and target.features == "encoder" and target.encoder == "ema":
            self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False).eval()
            if self.slot_predictor is not None:
                self.target_slots = copy.deepcopy(self.slot_predictor.slots).requires_grad_(False)

    def _make_targets(self) -> LevelTargets:
        hierarchy = self.hierarchy
        return LevelTargets(
            levels=hierarchy.levels,
            depth=len(self.encoder.blocks),
            pooling=hierarchy.pooling,
            source=hierarchy.source,
            layers=self.target.layers,
            normalises=self.wants.normalise_targets,
            renormalises=hierarchy.renormalise,
        )

    def _make_predictors(self, config: PredictorConfig, grid: int) -> list[Predictor]:
        kind, levels = self.hierarchy.predictor, list(range(self.hierarchy.levels))
        served = {"per_level": [[level] for level in levels], "shared": [levels], "pooled": [[0]]}[kind]
        encoder = self.encoder
        wide = encoder.width if self.target.features == "encoder" else 3 * encoder.patch_size**2
        return [Predictor(config, encoder.config, wide, grid, each, self.hierarchy.pooling) for each in served]

    def _make_contexts(self, heads: int) -> ContextLevels | None:
        hierarchy = self.hierarchy
        if hierarchy.fpn == "none" and hierarchy.cross_attention == "none":
            return None
        return ContextLevels(
            self.encoder.width,
            hierarchy.cross_heads or heads,
            hierarchy.levels,
            hierarchy.pooling,
            fpn=hierarchy.fpn,
            cross=hierarchy.cross_attention,
        )

    def _make_slots(self, width: int) -> SlotPredictor | None:
        return SlotPredictor(self.encoder.width, width) if self.hierarchy.slots is not None else None

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
            maps = self.target_maps(inputs.views, inputs.noise, inputs.patch_size)
            assert inputs.context is not None
            tokens = self.encoder(inputs.images, inputs.context, inputs.keep, inputs.patch_size)
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
        tokens = self.encoder(inputs.locals, None, inputs.keep_locals, inputs.patch_size)
        queries, grid = around.unsqueeze(1), _side(first)
        predicted = self.predictors[0](tokens, None, queries, places=inputs.places, grid=grid).flatten(1, 2)
        whole = first.repeat(len(around) // len(first), 1, 1)
        wanted = whole.gather(1, around.unsqueeze(-1).expand(-1, -1, whole.shape[-1]))
        return Level(predicted, wanted, around)

    def _pooled(self, tokens: Tensor, finest: Level, inputs: Inputs) -> dict[str, Tensor]:
        """The embeddings that come with the prediction."""
        assert inputs.targets is not None
        count, blocks, cells = inputs.targets.shape
        made: dict[str, Callable[[], Tensor]] = {
            "context": lambda: _by_view(tokens.float().mean(1), inputs.count),
            "prediction": lambda: _by_view(finest.prediction.float().mean(1), inputs.count),
            "target": lambda: _by_view(finest.target.mean(1), inputs.count),
            "blocks": lambda: _by_view(finest.prediction.float().view(count, blocks, cells, -1).mean(2), inputs.count),
        }
        return {name: make() for name, make in made.items() if name in self.wants.embeddings}

    def _whole(self, inputs: Inputs) -> Tensor:
        """Mean tokens of the student over whole views and small crops, [V + L, B, D]."""
        size = inputs.patch_size
        whole = _by_view(self.encoder(inputs.images, None, inputs.keep_whole, size).float().mean(1), inputs.count)
        if inputs.locals is None or inputs.around is not None:
            return whole
        small = self.encoder(inputs.locals, None, inputs.keep_locals, size).float().mean(1)
        return torch.cat([whole, small.view(-1, *whole.shape[1:])])

    def _levels(self, tokens: Tensor, inputs: Inputs, maps: list[Tensor]) -> list[Level]:
        """One `Level` per level, finest first, then that of the slots."""
        assert inputs.context is not None and inputs.targets is not None
        cells = inputs.targets.flatten(1)
        wanted = [maps[0].gather(1, cells.unsqueeze(-1).expand(-1, -1, maps[0].shape[-1])), *maps[1:]]
        asked = [cells, *(_everywhere(level) for level in maps[1:])]
        grid = _side(maps[0])
        if self.hierarchy.predictor == "pooled":
            predicted = self._pooled_predictions(tokens, inputs.context, cells, grid)
        else:
            queries = [cells.unsqueeze(1) if self.joint else inputs.targets, *(each.unsqueeze(1) for each in asked[1:])]
            contexts = self._contexts(tokens, inputs.context, grid)
            predicted = [
                self._predict(context, inputs.context, queries[level], level, grid).flatten(1, 2)
                for level, context in enumerate(contexts)
            ]
        if self.slot_predictor is not None:
            assert inputs.noise is not None
            predicted.append(self.slot_predictor(tokens, inputs.noise))
        return [Level(*parts) for parts in zip(predicted, wanted, asked, strict=True)]

    def _contexts(self, tokens: Tensor, visible: Tensor, grid: int) -> list[Tensor]:
        """What each level's predictor reads, [B, K, D]."""
        if self.context_levels is None:
            return [tokens] * self.hierarchy.levels
        contexts: list[Tensor] = self.context_levels(tokens, visible, grid)
        return contexts

    def _pooled_predictions(self, tokens: Tensor, visible: Tensor, cells: Tensor, grid: int) -> list[Tensor]:
        """Level-0 predictions of all patches: those of the target cells, and their means at the levels above.

        A control: the levels above then only weigh the errors of level 0 differently (method C.2).
        """
        everywhere = torch.arange(grid * grid, device=tokens.device).expand(len(tokens), 1, -1)
        whole = self._predict(tokens, visible, everywhere, 0, grid).flatten(1, 2)
        finest = whole.gather(1, cells.unsqueeze(-1).expand(-1, -1, whole.shape[-1]))
        above = range(1, self.hierarchy.levels)
        return [finest, *(pool_level(whole.float(), level, self.hierarchy.pooling) for level in above)]

    def _predict(self, tokens: Tensor, context: Tensor, queries: Tensor, level: int, grid: int) -> Tensor:
        if len(self.predictors) == 1:
            out: Tensor = self.predictors[0](tokens, context, queries, level, grid=grid)
        else:
            out = self.predictors[level](tokens, context, queries, grid=grid)
        return out

    def target_maps(self, images: Tensor, noise: Tensor | None = None, patch_size: int | None = None) -> list[Tensor]:
        """Target of every cell of each level, [B, G_l, D], then of the slots, [B, S, W], float32.

        noise: where the slots start; patch_size: of the step. Without gradient, unless `target.encoder` is
        none. D is the encoder's width, or 3 p^2 for pixels.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.target.encoder == "none"):
            outputs = {block: tokens.float() for block, tokens in self._target_outputs(images, patch_size).items()}
            maps = self.level_targets.maps(outputs)
            if self.slot_predictor is not None:
                assert noise is not None
                slots = self.target_slots or self.slot_predictor.slots
                last = outputs[self.level_targets.depth]
                maps.append(slot_targets(slots, last, noise, self.wants.normalise_targets))
            return maps

    def _target_outputs(self, images: Tensor, patch_size: int | None) -> dict[int, Tensor]:
        """What the targets are made of, by block; pixels count as the last block's."""
        last, blocks = self.level_targets.depth, self.level_targets.blocks
        if self.target.features == "pixels":
            return {last: self.encoder.patches(images)}
        if blocks == [last]:
            return {last: self.evaluated(images, patch_size=patch_size)}
        return self.evaluated.outputs(images, blocks, patch_size)

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """target <- momentum * target + (1 - momentum) * student; parameters only, once per step."""
        if self.target_encoder is None:
            return
        theirs: list[Tensor] = list(self.target_encoder.parameters())
        ours: list[Tensor] = list(self.encoder.parameters())
        if self.target_slots is not None and self.slot_predictor is not None:
            theirs += self.target_slots.parameters()
            ours += self.slot_predictor.slots.parameters()
        torch._foreach_mul_(theirs, momentum)
        torch._foreach_add_(theirs, ours, alpha=1.0 - momentum)

    def set_kernel(self, kernel: str) -> None:
        """Use this attention kernel in every block of encoder, target encoder and predictors, and between levels."""
        for part in self.modules():
            if isinstance(part, Attention | CrossAttention):
                part.kernel = kernel

    def set_checkpointing(self, kind: str) -> None:
        """Compute blocks again backwards instead of keeping their activations.

        kind: none, encoder (the student's), or all (the predictors' too). A target encoder keeps none anyway.
        """
        for part in {"none": (), "encoder": self.encoder.modules(), "all": self.modules()}[kind]:
            if isinstance(part, Block):
                part.checkpointed = True

    def compile_blocks(self, device: torch.device) -> None:
        """Compile every transformer block in place, for this device. Raises ConfigError where nothing can be."""
        compile_parts([part for part in self.modules() if isinstance(part, Block)], device)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Named parameters that the optimiser sees."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def _by_view(rows: Tensor, count: int) -> Tensor:
    """[V * B, ...] -> [V, B, ...]."""
    return rows.view(count, -1, *rows.shape[1:])


def _side(level: Tensor) -> int:
    """Cells per side of a level [B, G, D]."""
    side: int = round(level.shape[1] ** 0.5)
    return side


def _everywhere(level: Tensor) -> Tensor:
    """The index of each of a level's cells, [B, G]."""
    return torch.arange(level.shape[1], device=level.device).expand(len(level), -1)
