"""Claims: LARS takes the steps of VICReg's code; matrices have decay and trust ratio, all else neither."""

import pytest
import torch
from torch import Tensor, nn

from hjepa.config import EmaConfig, OptimConfig
from hjepa.optim import LARS, Schedule, apply_rates, make_optimiser


class Reference:
    """The update of `LARS` in facebookresearch/vicreg, `main_vicreg.py`, with both filters on."""

    def __init__(self, parameters: list[Tensor], lr: float, weight_decay: float, momentum: float, eta: float) -> None:
        self.parameters = [p.detach().clone() for p in parameters]
        self.lr, self.weight_decay, self.momentum, self.eta = lr, weight_decay, momentum, eta
        self.mu = [torch.zeros_like(p) for p in parameters]

    def step(self, gradients: list[Tensor]) -> None:
        for p, gradient, mu in zip(self.parameters, gradients, self.mu, strict=True):
            dp = gradient
            if p.ndim != 1:
                dp = dp.add(p, alpha=self.weight_decay)
                param_norm, update_norm = torch.norm(p), torch.norm(dp)
                one = torch.ones_like(param_norm)
                q = torch.where(
                    param_norm > 0.0, torch.where(update_norm > 0, self.eta * param_norm / update_norm, one), one
                )
                dp = dp.mul(q)
            mu.mul_(self.momentum).add_(dp)
            p.add_(mu, alpha=-self.lr)


def parameters(zeros: bool = False) -> dict[str, nn.Parameter]:
    stream = torch.Generator().manual_seed(0)
    weight = torch.zeros(5, 3) if zeros else torch.randn(5, 3, generator=stream)
    return {"map.weight": nn.Parameter(weight), "map.bias": nn.Parameter(torch.randn(5, generator=stream))}


@pytest.mark.parametrize("zeros", [False, True])
def test_steps_are_those_of_vicreg(zeros: bool) -> None:
    ours = parameters(zeros)
    config = OptimConfig.model_validate(
        {"optimiser": "lars", "lr": 0.3, "weight_decay": 1e-2, "lars_momentum": 0.8, "lars_trust": 0.02}
        | {"schedule": "constant", "warmup": 0.0}
    )
    optimiser = make_optimiser(config, ours)
    assert isinstance(optimiser, LARS)
    reference = Reference(list(ours.values()), 0.3, 1e-2, 0.8, 0.02)
    stream = torch.Generator().manual_seed(1)
    for step in range(1, 6):
        gradients = [torch.randn(p.shape, generator=stream) for p in ours.values()]
        if step == 3:
            gradients[1].zero_()
        for p, gradient in zip(ours.values(), gradients, strict=True):
            p.grad = gradient.clone()
        apply_rates(optimiser, Schedule(config, EmaConfig(), 5).at(step))
        optimiser.step()
        reference.step(gradients)
        for p, expected in zip(ours.values(), reference.parameters, strict=True):
            torch.testing.assert_close(p.detach(), expected, rtol=1e-6, atol=1e-7)


def test_the_first_step_of_a_matrix_is_a_share_of_its_norm() -> None:
    ours = parameters()
    before = {name: p.detach().clone() for name, p in ours.items()}
    config = OptimConfig.model_validate({"optimiser": "lars", "lr": 0.5, "weight_decay": 0.0, "lars_trust": 0.01})
    optimiser = make_optimiser(config, ours)
    for p in ours.values():
        p.grad = torch.full_like(p, 1000.0)
    optimiser.step()
    moved = {name: (p.detach() - before[name]).norm() for name, p in ours.items()}
    assert float(moved["map.weight"]) == pytest.approx(0.5 * 0.01 * float(before["map.weight"].norm()), rel=1e-5)
    assert torch.equal(ours["map.bias"].detach(), before["map.bias"] - 500.0)


def test_the_gradient_is_left_as_it_was() -> None:
    ours = parameters()
    optimiser = make_optimiser(OptimConfig.model_validate({"optimiser": "lars"}), ours)
    for p in ours.values():
        p.grad = torch.ones_like(p)
    optimiser.step()
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in ours.values())
