"""Claims: the resized kernel gives an enlarged patch the embedding of the original, as FlexiViT's code does;
one base kernel serves all sizes and learns from each; positions follow the grid."""

from typing import Any

import pytest
import torch

from hjepa.config import ModelConfig
from hjepa.models import Encoder
from hjepa.models.patches import PatchEmbed, patchify, resize_matrix
from hjepa.runtime.streams import initialise
from tests.objectives.oracle import det


def make(**fields: Any) -> Encoder:
    settings = {"size": None, "width": 32, "depth": 2, "heads": 2, "patch_sizes": [2, 4, 8]}
    encoder = Encoder(ModelConfig.model_validate(settings | fields), 4)
    initialise(encoder, 0, "encoder", "xavier")
    return encoder


def images(count: int = 2, side: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def whole(old: int, new: int) -> torch.Tensor:
    """B: the resize of a patch of old x old pixels as one matrix."""
    matrix = resize_matrix(old, new)
    return torch.kron(matrix, matrix)


def test_pseudo_inverse_resize_from_4_to_8() -> None:
    w, x, matrix = det(16), det(16, a=0.61), whole(4, 8)
    embed = PatchEmbed(4, 1, [8]).double()
    with torch.no_grad():
        embed.weight.copy_(torch.cat([w, torch.zeros(32)]).unsqueeze(0))
    resized = embed.kernel(8)[0, :64].detach()
    assert abs(float(w @ x) - 2.01235005) < 1e-7
    assert abs(float(resized @ (matrix @ x)) - 2.01235005) < 1e-5
    assert abs(float((matrix @ w) @ (matrix @ x)) - 6.81497) < 1e-4


@pytest.mark.parametrize(("old", "new"), [(4, 8), (4, 2), (8, 2), (4, 6)])
def test_rows_and_columns_apart_equal_the_official_whole_matrix(old: int, new: int) -> None:
    embed = PatchEmbed(old, 5, [new])
    official = torch.linalg.pinv(whole(old, new).T).float()
    expected = (embed.weight.view(5, 3, -1) @ official.T).flatten(1)
    assert torch.allclose(embed.kernel(new), expected, atol=1e-5)


def test_an_enlarged_image_with_patches_twice_as_large_has_the_same_embeddings() -> None:
    embed, x = PatchEmbed(4, 8, [8]), images()
    matrix = resize_matrix(4, 8).float()
    cells = x.unflatten(2, (4, 4)).unflatten(4, (4, 4))  # each patch on its own, as B enlarges it
    large = torch.einsum("pi,bcgihj,qj->bcgphq", matrix, cells, matrix).flatten(4).flatten(2, 3)
    assert large.shape == (2, 3, 32, 32)
    assert torch.allclose(embed(patchify(large, 8), 8), embed(patchify(x, 4)), atol=1e-5)


def test_one_kernel_serves_every_size_and_learns_from_it() -> None:
    encoder, x = make(), images()
    plain = Encoder(ModelConfig.model_validate({"size": None, "width": 32, "depth": 2, "heads": 2}), 4)
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    assert sum(p.numel() for p in encoder.parameters()) == sum(p.numel() for p in plain.parameters())
    assert [encoder(x, patch_size=size).shape[1] for size in (2, 4, 8)] == [64, 16, 4]
    assert torch.equal(encoder(x, patch_size=4), encoder(x))
    for size in (2, 8):
        encoder.zero_grad()
        encoder(x, patch_size=size)[..., 0].sum().backward()
        assert encoder.patch_embed.weight.grad.abs().sum() > 0


def test_the_kernel_is_resized_anew_from_the_base() -> None:
    encoder = make()
    before = encoder.patch_embed.kernel(2).detach().clone()
    encoder.patch_embed.kernel(8)
    assert torch.equal(encoder.patch_embed.kernel(2), before)
    encoder.patch_embed.weight.data.mul_(2.0)
    assert torch.allclose(encoder.patch_embed.kernel(2), 2.0 * before, atol=1e-6)


def test_the_resized_kernel_is_single_precision_under_autocast() -> None:
    encoder = make()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.patch_embed.kernel(8), encoder.patch_embed.kernel(8).float())
        under = encoder.patch_embed.kernel(8).detach()
    assert under.dtype == torch.float32 and torch.equal(under, encoder.patch_embed.kernel(8))


@pytest.mark.parametrize("rope", ["none", "axial", "mixed", "dinov3"])
@pytest.mark.parametrize("positions", ["none", "sincos", "learned"])
def test_every_kind_of_position_follows_the_patch_size(positions: str, rope: str) -> None:
    if positions == rope == "none":
        return
    encoder, x = make(positions=positions, rope=rope), images()
    visible = torch.tensor([[0, 3], [2, 1]])
    out = encoder(x, visible, patch_size=8)
    assert out.shape == (2, 2, 32)
    assert torch.allclose(encoder(x, visible.flip(1), patch_size=8), out.flip(1), atol=1e-5)
    swapped = x[..., list(range(8, 16)) + list(range(8))]  # the patches of each row exchanged
    assert not torch.allclose(encoder(swapped, patch_size=8)[:, [1, 0, 3, 2]], encoder(x, patch_size=8), atol=1e-3)
