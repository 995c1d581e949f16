"""Claims: rotations equal RoPE-ViT's and DINOv3's; they keep lengths, leave the origin alone, and make a product
depend on the difference of places only; encoder and predictor turn by original places, of mask tokens too."""

import math
from typing import Any

import pytest
import torch

from hjepa.config import ModelConfig, PredictorConfig
from hjepa.models import Encoder
from hjepa.models.positions import centres
from hjepa.models.predictor import Predictor
from hjepa.models.rope import KINDS, Axial, DinoV3, Mixed, Rope
from hjepa.optim import parameter_groups
from hjepa.runtime.streams import initialise
from tests.objectives.oracle import det

ALL = sorted(KINDS)


def places(grid: int) -> torch.Tensor:
    return centres(grid, dtype=torch.float32).unsqueeze(0)


def make_rope(kind: str, depth: int = 2, heads: int = 2, channels: int = 16) -> Rope:
    rope = KINDS[kind](10.0, depth, heads, channels)
    initialise(rope, 0, "rope", "xavier")
    return rope


def make(kind: str, positions: str = "none", **fields: Any) -> Encoder:
    shape = {"size": None, "width": 32, "depth": 2, "heads": 2, "rope": kind, "positions": positions}
    encoder = Encoder(ModelConfig.model_validate(shape | fields), 4)
    initialise(encoder, 0, "encoder", "xavier")
    return encoder


def make_predictor(kind: str, positions: str = "none", levels: tuple[int, ...] = (0,)) -> Predictor:
    model = ModelConfig.model_validate(
        {"size": None, "width": 32, "depth": 2, "heads": 2, "rope": kind, "positions": positions}
    )
    config = PredictorConfig.model_validate({"width": 16, "depth": 2, "heads": 2})
    predictor = Predictor(config, model, 32, 4, list(levels))
    initialise(predictor, 0, "predictors.0", "xavier")
    return predictor


def images(count: int = 2, side: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


# --- oracles -----------------------------------------------------------------------------------------------


def test_axial_is_rope_vit() -> None:
    rope = Axial(100.0, 1, 1, 16)
    assert torch.allclose(rope.frequencies, torch.tensor([1, 0.316228, 0.1, 0.031623]), atol=1e-6)
    (rotation,) = rope(places(3), 3.0)
    query, key = rotation(det(1, 1, 9, 16).float()), rotation(det(1, 1, 9, 16, a=0.29).float())
    expected = [-0.329346, -1.273419, -0.098794, -0.786295, 0.106424, 0.913363, 0.266828, 1.131171]
    expected += [0.215887, 1.263398, 1.169036, 0.295867, 0.557289, -0.679711, -0.185783, -1.327007]
    assert torch.allclose(query[0, 0, 4], torch.tensor(expected), atol=1e-6)
    assert abs(float((query @ key.mT)[0, 0, 1, 5]) + 5.460307) < 1e-5


def test_dinov3_is_the_official_one() -> None:
    rope = DinoV3(100.0, 1, 2, 16)
    periods = 2 * math.pi / rope.frequencies
    assert torch.allclose(periods, torch.tensor([1, 3.162278, 10, 31.622776]), atol=1e-4)
    wide = torch.tensor([[[row, column] for row in (0.0, 1.0) for column in (0.0, 1.0, 2.0)]])
    (rotation,) = rope(wide, torch.tensor([2.0, 3.0]))
    assert rotation.sine.shape == (1, 1, 6, 8) and not rotation.interleaved
    expected = torch.tensor([0, -0.837919, -0.309017, -0.099183, 0, 0, 0, 0])
    assert torch.allclose(rotation.sine[0, 0, 1], expected, atol=1e-6)


def test_dinov3_turns_halves() -> None:
    """Official: x * [cos, cos] + [-x2, x1] * [sin, sin]."""
    (rotation,) = DinoV3(100.0, 1, 2, 16)(places(3), 3.0)
    tokens = det(1, 2, 9, 16).float()
    first, second = tokens.chunk(2, -1)
    twice = [torch.cat([part, part], -1) for part in (rotation.cosine, rotation.sine)]
    official = tokens * twice[0] + torch.cat([-second, first], -1) * twice[1]
    assert torch.allclose(rotation(tokens), official, atol=1e-6)


def test_mixed_angles_are_the_sum_over_both_axes_and_heads_differ() -> None:
    rope = make_rope("mixed")
    assert isinstance(rope, Mixed)
    across, down = rope.frequencies.unflatten(-1, (2, 8)).detach()  # [depth, heads, 8] each
    rotations = rope(places(3), 3.0)
    for layer, rotation in enumerate(rotations):
        for head in range(2):
            angle = 2.0 * across[layer, head] + 1.0 * down[layer, head]  # token 5 of 3 x 3: row 1, column 2
            assert torch.allclose(rotation.sine[0, head, 5], angle.sin(), atol=1e-5)
    magnitude = (across**2 + down**2).sqrt()
    expected = 10.0 ** -(torch.arange(4) / 4.0)
    assert torch.allclose(magnitude, expected.repeat(2).expand(2, 2, 8), atol=1e-6)
    assert torch.allclose((across * across.roll(4, -1) + down * down.roll(4, -1)), torch.zeros(()), atol=1e-6)
    assert not torch.allclose(across[0, 0], across[0, 1]) and not torch.allclose(across[0], across[1])


# --- properties ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_lengths_stay_and_products_depend_on_the_difference_of_places(kind: str) -> None:
    rope = make_rope(kind)
    tokens, other = det(1, 2, 9, 16).float(), det(1, 2, 9, 16, a=0.29).float()
    here, there = rope(places(3), 8.0), rope(places(3) + torch.tensor([1.0, 1.0]), 8.0)
    for a, b in zip(here, there, strict=True):
        assert torch.allclose(a(tokens).norm(dim=-1), tokens.norm(dim=-1), atol=1e-5)
        assert torch.allclose(a(tokens) @ a(other).mT, b(tokens) @ b(other).mT, atol=1e-4)
        assert not torch.allclose(a(tokens), b(tokens), atol=1e-2)


@pytest.mark.parametrize("kind", ["axial", "mixed"])
def test_the_first_place_is_left_alone(kind: str) -> None:
    tokens = det(1, 2, 9, 16).float()
    for rotation in make_rope(kind)(places(3), 3.0):
        assert torch.equal(rotation(tokens)[:, :, 0], tokens[:, :, 0])


@pytest.mark.parametrize("kind", ALL)
def test_angles_are_single_precision_under_autocast(kind: str) -> None:
    rope = make_rope(kind)
    with torch.autocast("cpu", torch.bfloat16):
        (rotation, *_) = rope(places(3), 3.0)
    assert rotation.cosine.dtype == torch.float32
    assert torch.equal(rotation.cosine, rope(places(3), 3.0)[0].cosine)
    assert rotation(det(1, 2, 9, 16).bfloat16()).dtype == torch.bfloat16


def test_mixed_learns_its_frequencies_and_they_do_not_decay() -> None:
    encoder, plain = make("mixed"), make("axial")
    grown = sum(p.numel() for p in encoder.parameters()) - sum(p.numel() for p in plain.parameters())
    assert grown == 2 * 2 * 2 * 16 // 2  # 2 * depth * heads * h / 2
    encoder(images()).square()[:, :, 0].sum().backward()
    assert (encoder.rope.frequencies.grad.abs().sum((0, 2)) > 0).all()
    _, bare = parameter_groups({f"encoder.{name}": p for name, p in encoder.named_parameters()})
    assert any(p is encoder.rope.frequencies for p in bare["params"])
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, encoder.get_parameter(name))


# --- encoder -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_toggling_changes_the_output_alone_and_beside_absolute_positions(kind: str) -> None:
    x = images()
    outputs = [make("none", "sincos")(x), make(kind, "sincos")(x), make(kind)(x)]
    for index, first in enumerate(outputs):
        for second in outputs[index + 1 :]:
            assert not torch.allclose(first, second, atol=1e-2)


@pytest.mark.parametrize("kind", ALL)
def test_visible_tokens_turn_by_their_original_patches(kind: str) -> None:
    encoder, x = make(kind), images(1)
    visible = torch.tensor([[2, 7, 8, 13]])
    out = encoder(x, visible)
    order = torch.tensor([3, 0, 2, 1])
    assert torch.allclose(encoder(x, visible[:, order]), out[:, order], atol=1e-5)
    # The same pixels at other places, with other distances between them, are another input.
    moved = images(1)
    pixels = moved.unflatten(2, (4, 4)).unflatten(4, (4, 4)).transpose(3, 4)
    pixels[:, :, 3, 2] = x.unflatten(2, (4, 4)).unflatten(4, (4, 4)).transpose(3, 4)[:, :, 3, 1]
    moved = pixels.transpose(3, 4).flatten(4).flatten(2, 3)
    assert torch.equal(moved[:, :, 12:, 8:12], x[:, :, 12:, 4:8])
    assert not torch.allclose(encoder(moved, torch.tensor([[2, 7, 8, 14]])), out, atol=1e-3)


def test_without_any_position_the_order_of_patches_is_lost() -> None:
    encoder, x = make("axial"), images(1)
    encoder.rope = None
    swapped = x.clone()
    swapped[:, :, :4, :4], swapped[:, :, 12:, 12:] = x[:, :, 12:, 12:], x[:, :, :4, :4]
    a, b = encoder(x), encoder(swapped)
    assert torch.allclose(a[:, 0], b[:, 15], atol=1e-5) and torch.allclose(a[:, 1:15], b[:, 1:15], atol=1e-5)
    turned = make("axial")
    assert not torch.allclose(turned(x)[:, 1:15], turned(swapped)[:, 1:15], atol=1e-3)


@pytest.mark.parametrize("kind", ALL)
def test_a_shifted_image_on_a_larger_grid_gives_the_same_tokens(kind: str) -> None:
    """With rotations alone only differences of places count: the tokens of a moved object are the object's."""
    encoder, x = make(kind), images(1, side=32)
    inner = torch.tensor([[row * 8 + column for row in range(3) for column in range(3)]])
    shifted = x.roll((4, 8), (2, 3))
    moved = inner + 8 + 2
    assert torch.allclose(encoder(shifted, moved), encoder(x, inner), atol=1e-4)


# --- predictor -----------------------------------------------------------------------------------------------


def predict(predictor: Predictor, queries: torch.Tensor, level: int = 0, **given: Any) -> torch.Tensor:
    context = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(3))
    return predictor(context, given.pop("visible", torch.tensor([[0, 5, 6]])), queries, level, **given)


@pytest.mark.parametrize("kind", ALL)
def test_mask_tokens_turn_by_their_cells_and_without_positions_are_one(kind: str) -> None:
    predictor, queries = make_predictor(kind), torch.tensor([[[9, 10, 15]]])
    out = predict(predictor, queries)
    assert not hasattr(predictor, "context_positions")
    assert torch.allclose(predict(predictor, queries.flip(-1)), out.flip(2), atol=1e-5)
    assert not torch.allclose(out[:, :, 0], out[:, :, 1], atol=1e-4)
    assert not torch.allclose(predict(predictor, queries, visible=torch.tensor([[1, 5, 6]])), out, atol=1e-4)
    predictor.rope = None
    same = predict(predictor, queries)
    assert torch.allclose(same, same[:, :, :1].expand_as(same), atol=1e-5)


@pytest.mark.parametrize(("kind", "positions"), [*((kind, "none") for kind in ALL), ("none", "sincos")])
def test_places_and_indices_agree(kind: str, positions: str) -> None:
    predictor, queries = make_predictor(kind, positions), torch.tensor([[[9, 10, 15], [3, 2, 1]]])
    at = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [1.0, 2.0]]])
    by_place = predict(predictor, queries, visible=None, places=at)
    assert torch.allclose(by_place, predict(predictor, queries), atol=1e-5)
    assert not torch.allclose(
        predict(predictor, queries, visible=None, places=at + 0.3 * at.flip(1)), by_place, atol=1e-3
    )


@pytest.mark.parametrize(("kind", "positions"), [*((kind, "none") for kind in ALL), ("none", "sincos")])
def test_a_grid_of_larger_patches_places_cells_as_the_level_above_does(kind: str, positions: str) -> None:
    predictor = make_predictor(kind, positions, levels=(0, 1))
    predictor.level_embedding.data.zero_()
    queries, at = torch.tensor([[[0, 1, 3]]]), torch.tensor([[[0.5, 0.5], [0.5, 2.5]]])
    context = {"context": torch.randn(1, 2, 32), "visible": None, "places": at}
    above = predictor(queries=queries, level=1, **context)
    coarse = predictor(queries=queries, level=0, grid=2, **context)
    assert torch.allclose(above, coarse, atol=1e-5)
    indexed = predictor(context["context"], torch.tensor([[0, 1]]), queries, 0, grid=2)
    assert torch.allclose(indexed, coarse, atol=1e-5)
