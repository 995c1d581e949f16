"""Claims: only visible tokens are processed; parameter counts are I-JEPA's; LayerScale and stochastic
depth do what their papers say; drawing one part's weights moves no other part's."""

import pytest
import torch

from hjepa.config import SIZES, ModelConfig
from hjepa.models import Encoder, draw_keep
from hjepa.models.positions import centres, interpolated, sincos
from hjepa.runtime.streams import initialise


def make(grid: int = 4, **fields: object) -> Encoder:
    settings = {"size": None, "width": 32, "depth": 3, "heads": 2, "patch_size": 4} | fields
    encoder = Encoder(ModelConfig.model_validate(settings), grid)
    initialise(encoder, 0, "encoder", "xavier")
    return encoder


def images(count: int = 2, side: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "patch", "side", "count"),
    [
        ("tiny", 4, 32, 5_348_160),
        ("small", 4, 32, 21_313_152),
        ("tiny", 8, 64, 5_375_808),
        ("tiny", 16, 224, 5_486_400),
        ("small", 16, 224, 21_589_632),
        ("base", 16, 224, 85_646_592),
    ],
)
def test_parameter_counts_are_the_official_ones(size: str, patch: int, side: int, count: int) -> None:
    with torch.device("meta"):
        encoder = Encoder(ModelConfig.model_validate({"size": size, "patch_size": patch}), side // patch)
    assert sum(p.numel() for p in encoder.parameters()) == count


def test_blocks_see_only_visible_tokens_and_hidden_pixels_change_nothing() -> None:
    encoder, x = make(), images()
    visible = torch.tensor([[0, 5, 6], [1, 2, 15]])
    seen: list[int] = []
    encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    before = encoder(x, visible)
    changed = x.clone()
    changed[0, :, 12:, 12:] += 1.0  # patch 15, hidden in image 0
    assert seen == [3]
    assert torch.equal(encoder(changed, visible)[0], before[0])
    changed[1, :, 12:, 12:] += 1.0  # visible in image 1
    assert not torch.equal(encoder(changed, visible)[1], before[1])


def test_linear_patches_equal_the_convolution() -> None:
    encoder, x = make(), images()
    weight = encoder.patch_embed.weight.view(32, 3, 4, 4)
    conv = torch.nn.functional.conv2d(x, weight, encoder.patch_embed.bias, stride=4).flatten(2).transpose(1, 2)
    assert torch.allclose(encoder._embed(x, None, 4), conv + encoder.positions, atol=1e-5)


def test_order_of_visible_tokens_only_permutes_the_output() -> None:
    encoder, x = make(), images(1)
    a, b = torch.tensor([[3, 9, 12]]), torch.tensor([[12, 3, 9]])
    assert torch.allclose(encoder(x, a)[:, [2, 0, 1]], encoder(x, b), atol=1e-5)


def test_layer_scale_adds_its_parameters_and_zero_is_the_identity() -> None:
    plain, scaled = make(), make(layer_scale=0.0)
    grown = sum(p.numel() for p in scaled.parameters()) - sum(p.numel() for p in plain.parameters())
    assert grown == 2 * 32 * 3
    x = images()
    assert torch.equal(scaled(x), scaled.norm(scaled._embed(x, None, 4)))
    scaled(x).sum().backward()
    assert scaled.blocks[0].scale1.grad.abs().sum() > 0
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, dict(scaled.named_parameters())[name])


def test_stochastic_depth_keeps_the_mean_and_spares_the_first_block() -> None:
    keep = draw_keep(0.5, 3, 4000, torch.Generator().manual_seed(0))
    assert keep.shape == (6, 4000)
    assert (keep[:2] == 1).all()
    assert torch.allclose(keep.mean(1), torch.ones(6), atol=0.06)
    assert torch.allclose((keep[-1] > 0).float().mean(), torch.tensor(0.5), atol=0.04)


def test_dropped_branches_are_absent_and_layer_scale_does_not_undo_it() -> None:
    encoder, x = make(layer_scale=0.1), images()
    nothing = torch.zeros(6, 2)
    assert torch.equal(encoder(x, keep=nothing), encoder.norm(encoder._embed(x, None, 4)))
    assert torch.equal(encoder(x, keep=torch.ones(6, 2)), encoder(x))


KINDS = [
    (positions, rope)
    for positions in ("none", "sincos", "learned")
    for rope in ("none", "axial", "mixed", "dinov3")
    if not positions == rope == "none"
]


@pytest.mark.parametrize(("positions", "rope"), KINDS)
def test_every_kind_of_position_takes_other_resolutions(positions: str, rope: str) -> None:
    encoder = make(positions=positions, rope=rope)
    for side in (8, 16, 32):
        x = images(side=side)
        tokens = encoder(x)
        assert tokens.shape == (2, (side // 4) ** 2, 32) and tokens.isfinite().all()
        assert encoder.features(x, "last").shape == (2, 32)
        halves = torch.cat([x[..., side // 2 :], x[..., : side // 2]], -1)
        assert not torch.allclose(encoder.features(halves, "last"), encoder.features(x, "last"), atol=1e-4)
    with pytest.raises(AssertionError, match="multiples of the patch size 4"):
        encoder(images(side=18))


def test_positions_of_another_resolution_span_the_trained_grid_and_rotations_count_patches() -> None:
    learned = make(positions="learned")
    assert torch.allclose(make()._positions(8), sincos(centres(8, unit=0.5), 32), atol=1e-5)
    assert torch.equal(learned._positions(8), interpolated(learned.positions, 8))
    small, large = (sines(make(positions="none", rope="axial"), side) for side in (16, 32))
    assert torch.equal(small, large[:4, :4])
    small, large = (sines(make(positions="none", rope="dinov3"), side) for side in (16, 32))
    assert torch.allclose(small.mean((0, 1)), large.mean((0, 1)), atol=1e-5)  # both symmetric about the centre
    assert not torch.allclose(small, large[:4, :4], atol=1e-2)


def sines(encoder: Encoder, side: int) -> torch.Tensor:
    """Of the first block's angles, [rows, columns, pairs]."""
    (rotation, *_) = encoder._rotations(images(side=side), None, 4)
    assert rotation is not None
    return rotation.sine[0, 0].unflatten(0, (side // 4, -1))


def test_features() -> None:
    encoder, x = make(), images(3)
    assert encoder.features(x, "last").shape == (3, 32)
    assert encoder.features(x, "last4").shape == (3, 96)
    assert torch.equal(encoder.features(x, "last4")[:, -32:], encoder.features(x, "last"))


def test_sizes_are_divisible() -> None:
    assert all(width % heads == 0 and width % 4 == 0 for width, _, heads in SIZES.values())
