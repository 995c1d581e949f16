"""Claims: cross-level attention starts as the identity, each direction connects the levels it names and no
others, and only visible tokens go in."""

from typing import Any

import pytest
import torch

from hjepa.models.context_levels import ContextLevels
from hjepa.models.cross_level import CrossAttention, CrossLevels, neighbours
from hjepa.runtime.streams import initialise

pytestmark = pytest.mark.slow

DIRECTIONS = ["top_down", "bottom_up", "both"]


def make(direction: Any, levels: int = 3) -> CrossLevels:
    part = CrossLevels(8, 2, levels, direction)
    initialise(part, 0, "cross", "xavier")
    return part


def woken(part: torch.nn.Module) -> Any:
    """The same with what starts at zero drawn as any other weight."""
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in part.parameters():
            if not weight.any():
                weight.normal_(std=0.3, generator=stream)
    return part


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_starts_as_the_identity_and_its_output_map_learns(direction: str) -> None:
    part = make(direction)
    gains = part([random(2, 5, 8), random(2, 5, 8), random(2, 5, 8)])
    assert gains and not any(gain.any() for gain in gains.values())
    sum((gain * random(2, 5, 8)).sum() for gain in gains.values()).backward()
    assert all(attention.proj.weight.grad.any() for attention in part.parts.values())


@pytest.mark.parametrize(
    ("direction", "links"),
    [
        ("top_down", {(0, 1), (1, 2)}),
        ("bottom_up", {(1, 0), (2, 1)}),
        ("both", {(0, 1), (1, 2), (1, 0), (2, 1)}),
    ],
)
def test_a_level_sees_the_levels_its_direction_names(direction: Any, links: set[tuple[int, int]]) -> None:
    part = woken(make(direction))
    tokens = [random(2, 5, 8).roll(level, 1).requires_grad_() for level in range(3)]
    found = set()
    for level, gain in part(tokens).items():
        for other, grad in enumerate(torch.autograd.grad(gain.square().sum(), tokens, allow_unused=True)):
            if other != level and grad is not None and grad.any():
                found.add((level, other))
    assert found == links
    assert {(level, other) for level in range(3) for other in neighbours(level, 3, direction)} == links


def test_parameters_are_one_attention_for_each_level_that_looks() -> None:
    one = sum(weight.numel() for weight in CrossAttention(8, 2).parameters())
    sizes = {name: sum(w.numel() for w in make(name).parameters()) for name in DIRECTIONS}
    assert sizes == {"top_down": 2 * one, "bottom_up": 2 * one, "both": 3 * one}


def test_it_is_softmax_attention_of_the_others() -> None:
    part = woken(CrossAttention(8, 2))
    tokens, others = random(2, 5, 8), random(2, 7, 8)
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([part.query.weight, part.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([part.query.bias, part.key_value.bias]))
        reference.out_proj.weight.copy_(part.proj.weight)
        reference.out_proj.bias.copy_(part.proj.bias)
    keys = part.norm_others(others)
    expected, _ = reference(part.norm_query(tokens), keys, keys)
    assert torch.allclose(part(tokens, others), expected, atol=1e-6)


@pytest.mark.parametrize("pooling", ["adaptive", "floor"])
@pytest.mark.parametrize(("fpn", "cross"), [("none", "both"), ("add", "none"), ("concat", "top_down")])
def test_contexts_start_as_the_tokens_and_then_differ_per_level(pooling: Any, fpn: Any, cross: Any) -> None:
    levels = ContextLevels(8, 2, 3, pooling, fpn=fpn, cross=cross)
    initialise(levels, 0, "context_levels", "xavier")
    visible = torch.stack([torch.randperm(196, generator=torch.Generator().manual_seed(n))[:30] for n in range(2)])
    tokens = random(2, 30, 8)
    contexts = levels(tokens, visible, 14)
    assert len(contexts) == 3 and all(torch.equal(context, tokens) for context in contexts)
    woken(levels)
    contexts = levels(tokens, visible, 14)
    assert all(context.shape == tokens.shape and context.isfinite().all() for context in contexts)
    assert not torch.equal(contexts[0], tokens) and not torch.equal(contexts[0], contexts[1])


def test_the_order_of_visible_tokens_does_not_matter() -> None:
    levels = ContextLevels(8, 2, 3, "adaptive", fpn="add", cross="both")
    initialise(levels, 0, "context_levels", "xavier")
    woken(levels)
    visible, tokens = torch.arange(0, 60, 2).expand(2, -1), random(2, 30, 8)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    straight, shuffled = levels(tokens, visible, 8), levels(tokens[:, order], visible[:, order], 8)
    for one, other in zip(straight, shuffled, strict=True):
        assert torch.allclose(one[:, order], other, atol=1e-5)
