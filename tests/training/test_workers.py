"""Claims: two workers take the same step as one: same loss, same weights, the draws cut in two; so do terms with
statistics of the batch, which they gather, and weights that follow from the losses."""

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
#: Every term, through a projector with batch norm; LARS, as Adam scales up what rounding leaves of a gradient of 0.
TERMS = [
    "optim.optimiser=lars",
    "optim.lr=1",
    "views.globals=2",
    "objective.weighting=uwso",
    "objective.vicreg.weight=0.01",
    "objective.ntxent.weight=0.1",
    "objective.ntxent.on=context",
    "objective.sigreg.weight=0.05",
    "objective.invariance.weight=1",
    "objective.cjepa.weight=0.01",
    "objective.cjepa.on=predicted_block_pairs",
    "objective.projector.layers=3",
    "objective.projector.hidden=24",
    "objective.projector.width=16",
]
LEVELS = ["hierarchy.slots=3", "hierarchy.fpn=add", "hierarchy.cross_attention=both"]
KENDALL = ["objective.weighting=kendall", "objective.cjepa.weight=0.01"]


def two_steps(settings: list[str]) -> dict[str, torch.Tensor | float]:
    """Weights after two steps of this process's share, and the losses."""
    run = build(load_config(None, settings))
    rows = run.workers.rows(32)
    found: dict[str, torch.Tensor | float] = {}
    for step in (1, 2):
        images = next(iter(run.dataset.train.batches([np.arange(32)[rows]])))
        report = run.step(images, step, measure=True)
        found |= {f"{name}{step}": float(value) for name, value in report.items()}
    return found | dict(run.model.state_dict())


def worker(rank: int, folder: str, settings: list[str]) -> None:
    """One of two ranks."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = two_steps(settings)
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "parts"),
    [([], []), ([], ["runtime.micro_batch=8"]), (TERMS, []), (KENDALL, []), (LEVELS, [])],
    ids=["plain", "micro-batches", "terms", "kendall", "levels"],
)
def test_two_workers_equal_one(tmp_path: Path, settings: list[str], parts: list[str]) -> None:
    alone = two_steps(SETTINGS + settings)
    multiprocessing.spawn(worker, args=(str(tmp_path), SETTINGS + settings + parts), nprocs=2)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == alone.keys()
        assert found["loss1"] == pytest.approx(alone["loss1"], rel=2e-6)
        assert found["loss2"] == pytest.approx(alone["loss2"], rel=2e-5)
        for name, value in alone.items():
            if isinstance(value, torch.Tensor):
                assert torch.allclose(found[name], value, atol=1e-5), name
            else:
                assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
