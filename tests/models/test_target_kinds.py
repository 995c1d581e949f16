"""Claims: the target's kind decides where gradients flow and what is predicted; two views are stacked, not mixed;
what is not asked for is not built."""

import pytest
import torch
from torch.nn import functional as F

from hjepa.config import HierarchyConfig, MasksConfig, ModelConfig, PredictorConfig, TargetConfig
from hjepa.masks import MaskSampler
from hjepa.models import HJEPA, Inputs, Wants

MODEL = ModelConfig.model_validate({"size": None, "width": 32, "depth": 2, "heads": 2})
PREDICTOR = PredictorConfig.model_validate({"width": 16, "depth": 1, "heads": 2})


def make(wants: Wants | None = None, **target: str) -> HJEPA:
    hierarchy = HierarchyConfig.model_validate({"levels": 2})
    return HJEPA(MODEL, PREDICTOR, hierarchy, TargetConfig.model_validate(target), wants or Wants(), grid=8, seed=0)


def inputs(images: int = 4, count: int = 1) -> Inputs:
    masks = [MaskSampler(MasksConfig(), 8).draw(images, 0, 1, view) for view in range(count)]
    return Inputs(
        views=torch.randn(count * images, 3, 32, 32, generator=torch.Generator().manual_seed(2)),
        count=count,
        context=torch.cat([mask.context for mask in masks]),
        targets=torch.cat([mask.targets for mask in masks]),
    )


@pytest.mark.parametrize(("kind", "moves"), [("ema", False), ("stop_gradient", False), ("none", True)])
def test_gradient_flows_through_the_target_only_without_any_stop(kind: str, moves: bool) -> None:
    model = make(encoder=kind)
    assert (model.target_encoder is not None) == (kind == "ema")
    levels = model(inputs()).levels
    assert all(level.target.requires_grad == moves for level in levels)
    if moves:
        grads = torch.autograd.grad(levels[0].target.sin().sum(), list(model.encoder.parameters()))
        assert max(float(g.abs().max()) for g in grads) > 0


def test_without_an_average_the_target_and_the_probe_are_the_student() -> None:
    model, given = make(encoder="stop_gradient"), inputs()
    assert model.evaluated is model.encoder
    before = model(given).levels[0].target
    with torch.no_grad():
        model.encoder.patch_embed.weight.mul_(2.0)
    assert not torch.allclose(before, model(given).levels[0].target)
    model.update_target(0.5)  # nothing to move


def test_pixel_targets_are_the_normalised_patches_and_their_means() -> None:
    model, given = make(features="pixels"), inputs()
    fine, coarse = model.target_maps(given.views)
    patch = given.views[1, :, 8:12, 20:24].flatten()
    assert torch.allclose(fine[1, 2 * 8 + 5], F.layer_norm(patch, (48,)), atol=1e-5)
    children = fine.view(4, 8, 8, 48)[1, 2:4, 4:6].mean((0, 1))
    assert torch.allclose(coarse[1, 1 * 4 + 2], F.layer_norm(children, (48,)), atol=1e-5)
    assert model(given).levels[0].prediction.shape[-1] == 48


def test_two_views_are_two_rows_of_one_batch() -> None:
    model, both = make(), inputs(count=2)
    first = Inputs(views=both.views[:4], context=both.context[:4], targets=both.targets[:4])  # type: ignore[index]
    together, alone = model(both).levels[0], model(first).levels[0]
    assert torch.allclose(together.prediction[:4], alone.prediction, atol=1e-6)
    assert torch.equal(together.cells[:4], alone.cells)
    assert not torch.equal(both.context[:4], both.context[4:])  # type: ignore[index]


def test_without_prediction_there_is_only_the_student() -> None:
    model = make(Wants(predicts=False, embeddings=frozenset({"view"}), classes=5))
    names = {name.partition(".")[0] for name, _ in model.named_parameters()}
    assert names == {"encoder", "classifier"}
    out = model(Inputs(views=inputs().views))
    assert out.levels == [] and out.logits is not None and out.logits.shape == (4, 5)
    assert torch.allclose(out.embeddings["view"][0], model.encoder.features(inputs().views, "last"), atol=1e-6)


def test_embeddings_are_means_of_their_tokens() -> None:
    names = frozenset({"context", "prediction", "target", "blocks", "view"})
    model, given = make(Wants(embeddings=names)), inputs(count=2)
    out = model(given)
    tokens = model.encoder(given.views, given.context)
    assert torch.allclose(out.embeddings["context"].flatten(0, 1), tokens.mean(1), atol=1e-6)
    level = out.levels[0]
    assert torch.allclose(out.embeddings["prediction"][1], level.prediction[4:].mean(1), atol=1e-6)
    assert torch.allclose(out.embeddings["target"][1], level.target[4:].mean(1), atol=1e-6)
    cells = given.targets.shape[2]  # type: ignore[union-attr]
    assert torch.allclose(
        out.embeddings["blocks"][1, 1, 2], level.prediction[5, 2 * cells : 3 * cells].mean(0), atol=1e-6
    )
    assert out.embeddings["view"].shape == (2, 4, 32)
