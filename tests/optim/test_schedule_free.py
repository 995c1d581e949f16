"""Claims: looking at the averaged weights, however often, leaves a Schedule-Free run as it was to the bit;
the averages are the library's; a step outside training mode is refused; a saved state goes on identically."""

import copy
import io

import pytest
import torch
from schedulefree import AdamWScheduleFree
from torch import nn

from hjepa.config import EmaConfig, OptimConfig
from hjepa.optim import Schedule, ScheduleFreeAdamW, apply_rates, averaged, make_optimiser, restore

CONFIG = OptimConfig.model_validate({"optimiser": "schedule_free", "lr": 0.05, "weight_decay": 0.1, "warmup": 0.3})
SCHEDULE = Schedule(CONFIG, EmaConfig(), 12)


def network() -> nn.Module:
    """Three layers; the last has no gradient."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(2, 2))


def optimiser_of(model: nn.Module) -> torch.optim.Optimizer:
    return make_optimiser(CONFIG, dict(model.named_parameters()))


def steps(model: nn.Module, optimiser: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(number))
        model[1](model[0](inputs)).square().mean().backward()
        apply_rates(optimiser, SCHEDULE.at(number))
        optimiser.step()
        optimiser.zero_grad()


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def equal(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_look_at_the_averages_moves_nothing() -> None:
    plain, watched = network(), network()
    plain_optimiser, watched_optimiser = optimiser_of(plain), optimiser_of(watched)
    for number in range(1, 9):
        steps(plain, plain_optimiser, range(number, number + 1))
        steps(watched, watched_optimiser, range(number, number + 1))
        before = weights(watched)
        with averaged(watched_optimiser):
            inside = weights(watched)
        assert equal(weights(watched), before) and equal(before, weights(plain))
        assert equal(inside[4:], before[4:]), "what has no gradient has no average"
        # At the first step the average is all of it.
        assert number == 1 or not any(torch.equal(a, b) for a, b in zip(inside[:4], before[:4], strict=True))


def test_the_averages_are_the_librarys() -> None:
    ours, theirs = network(), network()
    optimiser = optimiser_of(ours)
    reference = AdamWScheduleFree(theirs.parameters(), lr=0.05, betas=CONFIG.betas, warmup_steps=0)
    reference.train()
    for group in optimiser.param_groups:
        group["decays"] = False
        group["weight_decay"] = 0.0
    for group in reference.param_groups:
        group["decays"] = False
    steps(ours, optimiser, range(1, 13))
    steps(theirs, reference, range(1, 13))
    assert equal(weights(ours), weights(theirs))
    reference.eval()
    with averaged(optimiser):
        assert equal(weights(ours), weights(theirs))


def test_a_step_outside_training_mode_is_refused() -> None:
    model = network()
    optimiser = optimiser_of(model)
    assert isinstance(optimiser, ScheduleFreeAdamW)
    steps(model, optimiser, range(1, 3))
    with averaged(optimiser), pytest.raises(Exception, match="not in train mode"):
        steps(model, optimiser, range(3, 4))


def test_an_error_during_a_look_leaves_training_mode() -> None:
    model = network()
    optimiser = optimiser_of(model)
    steps(model, optimiser, range(1, 3))
    before = weights(model)
    with pytest.raises(RuntimeError, match="probe"), averaged(optimiser):
        raise RuntimeError("probe")
    assert equal(weights(model), before)
    steps(model, optimiser, range(3, 4))


def test_a_saved_state_goes_on_identically() -> None:
    model = network()
    optimiser = optimiser_of(model)
    steps(model, optimiser, range(1, 6))
    saved = io.BytesIO()
    with averaged(optimiser):
        torch.save((model.state_dict(), optimiser.state_dict()), saved)
        kept = weights(model)
    steps(model, optimiser, range(6, 13))

    saved.seek(0)
    stored, state = torch.load(saved, weights_only=True)
    again = network()
    again.load_state_dict(copy.deepcopy(stored))
    assert equal(weights(again), kept), "the checkpoint holds the averages"
    other = optimiser_of(again)
    restore(other, state)
    steps(again, other, range(6, 13))
    assert equal(weights(again), weights(model))


def test_other_optimisers_have_no_averages() -> None:
    model = network()
    optimiser = make_optimiser(OptimConfig(), dict(model.named_parameters()))
    before = weights(model)
    with averaged(optimiser):
        assert equal(weights(model), before)
    restore(optimiser, optimiser.state_dict())
