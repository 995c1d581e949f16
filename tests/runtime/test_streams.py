"""A draw depends on seed, stream name and indices alone, so that one component never moves another's."""

import torch
from torch import nn

from hjepa.runtime.streams import generator, initialise, numpy_generator, stream_seed


def test_streams_repeat_and_differ() -> None:
    seeds = {stream_seed(*key) for key in [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 1, 2)]}
    assert len(seeds) == 6
    assert torch.equal(torch.rand(5, generator=generator(3, "x", 7)), torch.rand(5, generator=generator(3, "x", 7)))
    assert (numpy_generator(3, "x").integers(9, size=5) == numpy_generator(3, "x").integers(9, size=5)).all()


def test_a_known_value_never_moves() -> None:
    assert stream_seed(0, "masks", 1) == 7356110245391756909


def test_initial_weights_are_named_by_parameter() -> None:
    def build(extra: bool) -> nn.ModuleDict:
        parts = {"first": nn.Linear(4, 4), **({"extra": nn.Linear(4, 4)} if extra else {}), "last": nn.Linear(4, 4)}
        module = nn.ModuleDict(parts)
        initialise(module, 0, "encoder", "trunc_normal")
        return module

    with_it, without = build(True), build(False)
    assert torch.equal(with_it["last"].weight, without["last"].weight)
    assert not torch.equal(with_it["last"].weight, with_it["first"].weight)
    other = nn.ModuleDict({"last": nn.Linear(4, 4)})
    initialise(other, 0, "predictor", "trunc_normal")
    assert not torch.equal(other["last"].weight, without["last"].weight)


def test_initialise_leaves_vectors() -> None:
    module = nn.LayerNorm(4)
    initialise(module, 0, "norm", "trunc_normal")
    assert torch.equal(module.weight, torch.ones(4))


def test_xavier_scales_linear_weights_by_their_fans_and_leaves_tokens_small() -> None:
    module = nn.Module()
    module.linear = nn.Linear(48, 192)
    module.token = nn.Parameter(torch.zeros(1, 1, 192))
    initialise(module, 0, "encoder", "xavier")
    bound = (6 / (48 + 192)) ** 0.5
    assert 0.95 * bound < module.linear.weight.detach().abs().max().item() <= bound
    assert module.token.detach().std().item() < 0.03
