"""Claims: one level is plain I-JEPA to the bit; level targets are spatial means; each level has its own
gradient path; the target encoder starts equal, gets no gradient and follows by the EMA formula."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from hjepa.config import HierarchyConfig, MasksConfig, ModelConfig, PredictorConfig, TargetConfig
from hjepa.masks import MaskSampler
from hjepa.models import HJEPA, Inputs, Level, Wants

MODEL = ModelConfig.model_validate({"size": None, "width": 32, "depth": 2, "heads": 2})


def make(levels: int = 3, seed: int = 0, **fields: Any) -> HJEPA:
    predictor = PredictorConfig.model_validate(
        {"width": 16, "depth": 2, "heads": 2, "blocks": fields.pop("blocks", "independent")}
    )
    hierarchy = HierarchyConfig.model_validate({"levels": levels, **fields})
    return HJEPA(MODEL, predictor, hierarchy, TargetConfig(), Wants(), grid=8, seed=seed)


def batch(count: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    masks = MaskSampler(MasksConfig(), 8).draw(count, 0, 1)
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2)), masks.context, masks.targets


def levels_of(model: HJEPA, images: torch.Tensor, context: torch.Tensor, targets: torch.Tensor) -> list[Level]:
    return list(model(Inputs(views=images, context=context, targets=targets)).levels)


def plain_ijepa_loss(model: HJEPA, images: torch.Tensor, context: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """I-JEPA's step written out after its official code, with this model's weights."""
    with torch.no_grad():
        h = F.layer_norm(model.target_encoder(images), (32,))
        blocks = [torch.stack([h[b, ids] for b, ids in enumerate(targets[:, m])]) for m in range(targets.shape[1])]
        wanted = torch.cat(blocks)
    predictor = model.predictors[0]
    z = predictor.embed(model.encoder(images, context)) + predictor.context_positions[context]
    asked = torch.cat([predictor.mask_token + predictor.positions_0[targets[:, m]] for m in range(targets.shape[1])])
    x = torch.cat([z.repeat(targets.shape[1], 1, 1), asked], 1)
    for block in predictor.blocks:
        x = block(x)
    return F.smooth_l1_loss(predictor.project(predictor.norm(x[:, z.shape[1] :])), wanted)


def test_one_level_is_plain_ijepa_to_the_bit() -> None:
    model, (images, context, targets) = make(levels=1), batch()
    (level,) = levels_of(model, images, context, targets)
    shape = (4, targets.shape[1], targets.shape[2], 32)
    ours = level.prediction.view(shape).transpose(0, 1).reshape(-1, targets.shape[2], 32)
    theirs = level.target.view(shape).transpose(0, 1).reshape(-1, targets.shape[2], 32)
    loss = F.smooth_l1_loss(ours, theirs)
    reference = plain_ijepa_loss(model, images, context, targets)
    assert torch.equal(loss, reference)
    grads = torch.autograd.grad(loss, list(model.encoder.parameters()), retain_graph=True)
    expected = torch.autograd.grad(reference, list(model.encoder.parameters()))
    for got, want in zip(grads, expected, strict=True):
        assert torch.allclose(got, want, atol=1e-7)


def test_targets_are_normalised_and_without_gradient() -> None:
    model, (images, context, targets) = make(), batch()
    for level in levels_of(model, images, context, targets):
        assert not level.target.requires_grad
        assert level.prediction.shape == level.target.shape == (*level.cells.shape, 32)
        assert torch.allclose(level.target.mean(-1), torch.zeros(()), atol=1e-5)
        assert torch.allclose(level.target.var(-1, unbiased=False), torch.ones(()), atol=1e-2)


def test_pooled_targets_are_the_mean_of_their_children() -> None:
    model, (images, _, _) = make(renormalise=False), batch()
    fine, middle, coarse = model.target_maps(images)
    children = [2 * 8 + 4, 2 * 8 + 5, 3 * 8 + 4, 3 * 8 + 5]
    assert torch.allclose(middle[:, 1 * 4 + 2], fine[:, children].mean(1), atol=1e-6)
    assert torch.allclose(coarse[:, 0], fine.view(4, 8, 8, 32)[:, :4, :4].mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("predictor", ["per_level", "shared"])
def test_each_level_has_its_own_prediction_and_gradient(predictor: str) -> None:
    model, (images, context, targets) = make(predictor=predictor), batch()
    levels = levels_of(model, images, context, targets)
    assert [level.cells.shape[1] for level in levels] == [targets.shape[1] * targets.shape[2], 16, 4]
    (levels[1].prediction - levels[1].target).square().sum().backward()
    if predictor == "per_level":
        touched = [any(p.grad is not None for p in part.parameters()) for part in model.predictors]
        assert touched == [False, True, False]
    else:
        rows = model.predictors[0].level_embedding.grad.abs().sum(1)
        assert rows[1] > 0 and rows[0] == rows[2] == 0


def test_parameters_grow_by_a_predictor_per_level() -> None:
    sizes = [sum(p.numel() for p in make(levels=n).predictors.parameters()) for n in (1, 2, 3)]
    assert sizes[1] == 2 * sizes[0] and sizes[2] == 3 * sizes[0]
    shared = sum(p.numel() for p in make(predictor="shared").predictors.parameters())
    assert shared == sizes[0] + 3 * 16


def test_predictions_follow_their_queries() -> None:
    model, (images, context, targets) = make(levels=1), batch()
    order = torch.randperm(targets.shape[2], generator=torch.Generator().manual_seed(0))
    a = levels_of(model, images, context, targets)[0].prediction.view(4, targets.shape[1], -1, 32)
    b = levels_of(model, images, context, targets[..., order])[0].prediction.view(4, targets.shape[1], -1, 32)
    assert torch.allclose(a[:, :, order], b, atol=1e-5)
    predictor = model.predictors[0]
    predictor.positions_0.zero_()
    same = levels_of(model, images, context, targets)[0].prediction.view(4, targets.shape[1], -1, 32)
    assert torch.allclose(same, same[:, :, :1].expand_as(same), atol=1e-5)


def test_blocks_are_independent_unless_joint() -> None:
    images, context, targets = batch()
    fewer = targets[:, :2]
    count = 2 * targets.shape[2]
    alone, together = make(levels=1), make(levels=1, blocks="joint")
    a = levels_of(alone, images, context, targets)[0].prediction[:, :count]
    assert torch.allclose(a, levels_of(alone, images, context, fewer)[0].prediction, atol=1e-5)
    b = levels_of(together, images, context, targets)[0].prediction[:, :count]
    assert not torch.allclose(b, levels_of(together, images, context, fewer)[0].prediction, atol=1e-5)


def test_target_encoder_starts_equal_and_follows_by_the_formula() -> None:
    model = make()
    pairs = list(zip(model.target_encoder.parameters(), model.encoder.parameters(), strict=True))
    assert all(torch.equal(theirs, ours) for theirs, ours in pairs)
    assert not any(theirs.requires_grad for theirs, _ in pairs)
    with torch.no_grad():
        for _, ours in pairs:
            ours.add_(0.1)
    before = [theirs.clone() for theirs, _ in pairs]
    model.update_target(0.9)
    for old, (theirs, ours) in zip(before, pairs, strict=True):
        assert torch.equal(theirs, torch.add(old * 0.9, ours, alpha=1.0 - 0.9))
    assert not model.train().target_encoder.training


def test_weights_are_drawn_per_seed_and_name() -> None:
    two, three, other = (dict(m.named_parameters()) for m in (make(levels=2), make(levels=3), make(levels=2, seed=1)))
    assert all(torch.equal(value, three[name]) for name, value in two.items())
    assert not torch.equal(two["encoder.patch_embed.weight"], other["encoder.patch_embed.weight"])
