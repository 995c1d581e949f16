"""Claim: two workers take the same step as one: same loss, same weights, the draws cut in two."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from hjepa.overrides import load_config
from hjepa.training import build

SETTINGS = [
    "model.size=null",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "model.drop_path=0.3",
    "predictor.width=16",
    "predictor.depth=1",
    "predictor.heads=2",
    "optim.batch_size=32",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]


def two_steps(settings: list[str]) -> dict[str, torch.Tensor | float]:
    """Weights after two steps of this process's share, and the losses."""
    run = build(load_config(None, settings))
    rows = run.workers.rows(32)
    found: dict[str, torch.Tensor | float] = {}
    for step in (1, 2):
        images = next(iter(run.dataset.train.batches([np.arange(32)[rows]])))
        found[f"loss{step}"] = float(run.step(images, step)["loss"])
    return found | dict(run.model.state_dict())


def worker(rank: int, folder: str, settings: list[str]) -> None:
    """One of two ranks."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = two_steps(settings)
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("extra", [[], ["runtime.micro_batch=8"]])
def test_two_workers_equal_one(tmp_path: Path, extra: list[str]) -> None:
    alone = two_steps(SETTINGS)
    multiprocessing.spawn(worker, args=(str(tmp_path), SETTINGS + extra), nprocs=2)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found["loss1"] == pytest.approx(alone["loss1"], abs=1e-6)
        assert found["loss2"] == pytest.approx(alone["loss2"], abs=1e-5)
        for name, value in alone.items():
            if isinstance(value, torch.Tensor):
                assert torch.allclose(found[name], value, atol=1e-5), name
