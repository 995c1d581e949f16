"""Claims: every trainable parameter is in exactly one group; biases, norms, scales and position tables
never decay; a step's rates reach the optimiser."""

import torch

from hjepa.config import EmaConfig, OptimConfig
from hjepa.optim import Schedule, apply_rates, make_optimiser, parameter_groups
from hjepa.overrides import load_config
from hjepa.training.build import build_model

SETTINGS = ["model.size=micro", "model.layer_scale=1e-4", "model.positions=learned"]


def test_groups_partition_the_parameters() -> None:
    model = build_model(load_config(None, SETTINGS), 10)
    decayed, bare = parameter_groups(model.trainable())
    ids = [id(p) for group in (decayed, bare) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.trainable().values())
    exempt = {id(p) for p in bare["params"]}
    names = {name for name, p in model.trainable().items() if id(p) in exempt}
    assert "encoder.positions" in names and "encoder.blocks.0.scale1" in names
    assert all(name.endswith(("bias", "positions", "scale1", "scale2")) or "norm" in name for name in names)


def test_rates_reach_the_groups_and_the_exempt_stay_at_zero() -> None:
    model = build_model(load_config(None, SETTINGS), 10)
    config = OptimConfig.model_validate({"weight_decay": 0.04, "weight_decay_end": 0.4})
    optimiser = make_optimiser(config, model.trainable())
    schedule = Schedule(config, EmaConfig(), 100)
    apply_rates(optimiser, schedule.at(50))
    assert [group["lr"] for group in optimiser.param_groups] == [schedule.at(50).lr] * 2
    assert [group["weight_decay"] for group in optimiser.param_groups] == [schedule.at(50).weight_decay, 0.0]
    assert schedule.at(100).momentum == 1.0


def test_decay_without_gradient_shrinks_only_matrices() -> None:
    model = build_model(load_config(None, SETTINGS), 10)
    optimiser = make_optimiser(OptimConfig(), model.trainable())
    apply_rates(optimiser, Schedule(OptimConfig.model_validate({"weight_decay": 0.5}), EmaConfig(), 10).at(1))
    before = {name: p.detach().clone() for name, p in model.trainable().items()}
    for parameter in model.trainable().values():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    moved = {name for name, p in model.trainable().items() if not torch.equal(p, before[name])}
    assert "encoder.patch_embed.weight" in moved
    assert not moved & {"encoder.positions", "encoder.norm.weight", "encoder.blocks.0.scale1"}


def test_parameters_of_their_own_rate_have_neither_decay_nor_schedule() -> None:
    model = build_model(load_config(None, ["model.size=micro", "objective.weighting=kendall"]), 10)
    decayed, bare, own = parameter_groups(model.trainable(), {"log_variances.values": 0.1})
    ids = [id(p) for group in (decayed, bare, own) for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.trainable().values())
    for kind in ("adamw", "schedule_free", "lars"):
        config = OptimConfig.model_validate({"optimiser": kind})
        optimiser = make_optimiser(config, model.trainable(), {"log_variances.values": 0.1})
        apply_rates(optimiser, Schedule(config, EmaConfig(), 100).at(50))
        last = optimiser.param_groups[-1]
        assert last["params"][0] is model.trainable()["log_variances.values"]
        assert (last["lr"], last["weight_decay"]) == (0.1, 0.0)
