"""Claims, of the whole model: hidden pixels reach no prediction whatever connects the levels; pyramid and
cross-level attention start as absent; pooled predictions are means of level 0's; depths, layers and slots give the
targets they name; parts that are off hold no parameters, and those that are on hold as many as they should."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from hjepa.config import HierarchyConfig, MasksConfig, ModelConfig, PredictorConfig, TargetConfig
from hjepa.masks import MaskSampler
from hjepa.models import HJEPA, Inputs, Level, Wants
from hjepa.models.level_targets import pool_level

DEPTH, WIDTH, SLOT_WIDTH = 4, 32, 16
MODEL = ModelConfig.model_validate({"size": None, "width": WIDTH, "depth": DEPTH, "heads": 2})
PREDICTOR = PredictorConfig.model_validate({"width": SLOT_WIDTH, "depth": 2, "heads": 2})
ALL_ON = {"cross_attention": "both", "fpn": "concat", "slots": 3}


def make(grid: int = 8, target: dict[str, Any] | None = None, wants: Wants | None = None, **fields: Any) -> HJEPA:
    hierarchy = HierarchyConfig.model_validate(fields)
    kind = TargetConfig.model_validate(target or {})
    return HJEPA(MODEL, PREDICTOR, hierarchy, kind, wants or Wants(), grid=grid, seed=0)


def inputs(grid: int = 8, slots: int | None = None, count: int = 4) -> Inputs:
    masks = MaskSampler(MasksConfig(), grid).draw(count, 0, 1)
    images = torch.randn(count, 3, 4 * grid, 4 * grid, generator=torch.Generator().manual_seed(2))
    noise = None if slots is None else torch.randn(slots, SLOT_WIDTH, generator=torch.Generator().manual_seed(3))
    return Inputs(views=images, context=masks.context, targets=masks.targets, noise=noise)


def levels_of(model: HJEPA, given: Inputs) -> list[Level]:
    return list(model(given).levels)


def woken(model: HJEPA) -> HJEPA:
    """The model after every zero of its context levels has moved."""
    stream = torch.Generator().manual_seed(1)
    assert model.context_levels is not None
    with torch.no_grad():
        for weight in model.context_levels.parameters():
            if not weight.any():
                weight.normal_(std=0.3, generator=stream)
    return model


def numbers(part: torch.nn.Module | None) -> int:
    return 0 if part is None else sum(weight.numel() for weight in part.parameters())


@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
def test_hidden_pixels_reach_no_prediction(pooling: str) -> None:
    """To the bit, with everything that connects levels, on a grid that does not halve evenly."""
    model, given = woken(make(grid=9, pooling=pooling, **ALL_ON)), inputs(grid=9, slots=3)
    assert given.context is not None
    seen = torch.zeros(4, 81).scatter(1, given.context, 1.0).view(4, 1, 9, 9)
    mask = seen.repeat_interleave(4, 2).repeat_interleave(4, 3)
    hidden = Inputs(**{**vars(given), "student": given.views * mask + 9.0 * (1 - mask)})
    for one, other in zip(levels_of(model, given), levels_of(model, hidden), strict=True):
        assert torch.equal(one.prediction, other.prediction)
    moved = Inputs(**{**vars(given), "student": given.views + 1.0})
    for one, other in zip(levels_of(model, given), levels_of(model, moved), strict=True):
        assert not torch.equal(one.prediction, other.prediction)


@pytest.mark.parametrize("fields", [{"fpn": "add"}, {"fpn": "concat"}, {"cross_attention": "both"}])
def test_what_connects_levels_starts_as_absent_and_then_acts_on_each(fields: dict[str, Any]) -> None:
    given = inputs()
    plain, model = levels_of(make(), given), make(**fields)
    for one, other in zip(plain, levels_of(model, given), strict=True):
        assert torch.equal(one.prediction, other.prediction)
    for one, other in zip(plain, levels_of(woken(model), given), strict=True):
        assert not torch.allclose(one.prediction, other.prediction, atol=1e-4)


@pytest.mark.parametrize("fields", [{"fpn": "add"}, {"fpn": "concat"}, {"cross_attention": "both"}, {"slots": 3}])
def test_every_part_learns(fields: dict[str, Any]) -> None:
    model = make(**fields)
    if model.context_levels is not None:
        woken(model)
    levels = levels_of(model, inputs(slots=fields.get("slots")))
    sum((level.prediction - level.target).square().mean() for level in levels).backward()  # type: ignore[union-attr]
    without = [name for name, weight in model.trainable().items() if weight.grad is None or not weight.grad.any()]
    assert not [name for name in without if not name.endswith(("qkv.bias", "key_value.bias"))], "keys ignore a bias"


def test_parameters_are_those_of_what_is_on() -> None:
    off = make()
    assert off.context_levels is None and off.slot_predictor is None and off.target_slots is None
    add, concat, cross = (
        numbers(make(**fields).context_levels)
        for fields in ({"fpn": "add"}, {"fpn": "concat"}, {"cross_attention": "top_down"})
    )
    assert concat - add == 2 * WIDTH * WIDTH
    assert cross == 2 * (4 * WIDTH * WIDTH + 4 * WIDTH + 4 * WIDTH), "query, key, value, output; two norms"
    assert numbers(make(predictor="pooled").predictors) == numbers(make(levels=1).predictors)
    for fields in ({"source": "depth"}, {"pooling": "floor"}):
        assert numbers(make(**fields)) == numbers(off)
    slots = make(slots=3)
    assert numbers(slots) - numbers(off) == numbers(slots.slot_predictor) + numbers(slots.target_slots)
    assert numbers(make(slots=7)) == numbers(slots)


def test_nothing_is_built_where_nothing_is_predicted() -> None:
    model = make(wants=Wants(predicts=False, classes=2), **ALL_ON)
    assert model.context_levels is None and model.slot_predictor is None


@pytest.mark.parametrize(("grid", "pooling"), [(8, "adaptive"), (9, "adaptive"), (9, "floor")])
def test_pooled_predictions_are_means_of_level_0(grid: int, pooling: str) -> None:
    model, given = make(grid=grid, predictor="pooled", pooling=pooling), inputs(grid=grid)
    assert given.context is not None and given.targets is not None
    fine, middle, coarse = levels_of(model, given)
    everywhere = torch.arange(grid * grid).expand(4, 1, -1)
    whole = model.predictors[0](model.encoder(given.views, given.context), given.context, everywhere)[:, 0]
    assert torch.equal(fine.cells, given.targets.flatten(1))
    assert torch.allclose(fine.prediction, whole.gather(1, fine.cells.unsqueeze(-1).expand(-1, -1, WIDTH)), atol=1e-6)
    assert torch.allclose(middle.prediction, pool_level(whole, 1, pooling), atol=1e-6)
    assert torch.allclose(coarse.prediction, pool_level(whole, 2, pooling), atol=1e-6)
    assert middle.target.shape == middle.prediction.shape


def test_source_depth_takes_the_target_encoders_blocks() -> None:
    model, given = make(levels=2, source="depth"), inputs()
    kept: dict[int, torch.Tensor] = {}
    encoder = model.target_encoder
    assert encoder is not None
    encoder.blocks[DEPTH // 2 - 1].register_forward_hook(lambda _module, _given, out: kept.update({2: out}))
    fine, coarse = model.target_maps(given.views)
    assert torch.allclose(fine, F.layer_norm(kept[2], (WIDTH,)), atol=1e-4)
    assert torch.equal(coarse, make(levels=2).target_maps(given.views)[1]), "the coarsest level is the last block's"


def test_layers_average_the_target_encoders_last_blocks() -> None:
    model, given = make(levels=1, target={"layers": 2}), inputs()
    kept: list[torch.Tensor] = []
    encoder = model.target_encoder
    assert encoder is not None
    encoder.blocks[DEPTH - 2].register_forward_hook(lambda _module, _given, out: kept.append(out))
    (found,) = model.target_maps(given.views)
    last = F.layer_norm(encoder(given.views), (WIDTH,))
    mean = (F.layer_norm(kept[0], (WIDTH,)) + last) / 2
    assert torch.allclose(found, F.layer_norm(mean, (WIDTH,)), atol=1e-4)


@pytest.mark.parametrize("levels", [1, 3])
def test_slots_are_one_more_level(levels: int) -> None:
    plain, model, given = make(levels=levels), make(levels=levels, slots=3), inputs(slots=3)
    found = levels_of(model, given)
    assert found[-1].prediction.shape == found[-1].target.shape == (4, 3, SLOT_WIDTH)
    assert found[-1].cells.tolist() == [[0, 1, 2]] * 4 and not found[-1].target.requires_grad
    for one, other in zip(levels_of(plain, given), found[:-1], strict=True):
        assert torch.equal(one.prediction, other.prediction) and torch.equal(one.target, other.target)


def test_target_slots_start_equal_and_follow_the_students() -> None:
    model = make(slots=3)
    assert model.target_slots is not None and model.slot_predictor is not None
    pairs = list(zip(model.target_slots.parameters(), model.slot_predictor.slots.parameters(), strict=True))
    assert all(torch.equal(theirs, ours) and not theirs.requires_grad for theirs, ours in pairs)
    with torch.no_grad():
        for _, ours in pairs:
            ours.add_(0.1)
    before = [theirs.clone() for theirs, _ in pairs]
    model.update_target(0.9)
    for old, (theirs, ours) in zip(before, pairs, strict=True):
        assert torch.allclose(theirs, old * 0.9 + ours * 0.1, atol=1e-6)
    assert make(slots=3, target={"encoder": "stop_gradient"}).target_slots is None


@pytest.mark.slow
def test_the_losses_of_levels_are_not_one_loss() -> None:
    """Over 50 batches none is an affine function of another."""
    model = make(slots=3)
    losses = []
    with torch.no_grad():
        for number in range(50):
            given = inputs(slots=3)
            images = torch.randn(given.views.shape, generator=torch.Generator().manual_seed(number)).cumsum(-1) / 4
            given = Inputs(**{**vars(given), "views": images})
            losses.append([float(F.mse_loss(part.prediction, part.target)) for part in levels_of(model, given)])
    together = torch.corrcoef(torch.tensor(losses, dtype=torch.float64).T)
    apart = together - torch.eye(4, dtype=torch.float64)
    assert apart.abs().max() < 0.999


@pytest.mark.parametrize("fields", [ALL_ON, {"predictor": "pooled", "source": "both", "slots": 3}])
def test_it_runs_in_mixed_precision(fields: dict[str, Any]) -> None:
    """bf16 stays near fp32, targets and slots are float32 all through, and every gradient is finite."""
    model, given = make(**fields), inputs(slots=3)
    exact = levels_of(model, given)
    with torch.autocast("cpu", torch.bfloat16):
        near = levels_of(model, given)
    for one, other in zip(exact, near, strict=True):
        assert other.target.dtype == torch.float32
        assert torch.allclose(one.prediction, other.prediction.float(), atol=0.1)
    assert near[-1].prediction.isfinite().all()
    sum((level.prediction.float() - level.target).square().mean() for level in near).backward()  # type: ignore[union-attr]
    assert all(w.grad is None or w.grad.isfinite().all() for w in model.parameters())


@pytest.mark.parametrize("kernel", ["math", "flash"])
def test_the_attention_between_levels_uses_the_kernel_named(kernel: str) -> None:
    model, given = woken(make(cross_attention="both")), inputs()
    eager = levels_of(model, given)
    model.set_kernel(kernel)
    for one, other in zip(eager, levels_of(model, given), strict=True):
        assert torch.allclose(one.prediction, other.prediction, atol=1e-4)
