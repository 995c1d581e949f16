"""Claims: the projector has the stated maps and norms; its batch norm sees all rows as one batch and keeps nothing;
it computes in float32 under autocast."""

import pytest
import torch
from torch.nn import functional as F

from hjepa.config import ProjectorConfig
from hjepa.models.projector import Projector
from hjepa.runtime.streams import initialise


def make(norm: str = "batch", layers: int = 3) -> Projector:
    config = ProjectorConfig.model_validate({"layers": layers, "hidden": 12, "width": 4, "norm": norm})
    made = Projector(8, config)
    initialise(made, 0, "projector", "xavier")
    return made


@pytest.mark.parametrize(
    ("norm", "extra"), [("batch", 2 * 2 * 12), ("layer", 2 * 2 * 12), ("none", 0)], ids=["batch", "layer", "none"]
)
def test_its_parameters_are_the_maps_and_norms(norm: str, extra: int) -> None:
    linear = (8 * 12 + 12) + (12 * 12 + 12) + (12 * 4 + 4)
    assert sum(p.numel() for p in make(norm).parameters()) == linear + extra
    assert not list(make(norm).buffers())


def test_one_layer_is_one_linear_map() -> None:
    projector = make(layers=1)
    rows = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(projector(rows), F.linear(rows, projector.maps[0].weight))


def test_batch_norm_sees_the_rows_of_all_views() -> None:
    projector = make()
    rows = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(projector(rows), projector(rows.flatten(0, 1)).view(2, 6, 4))
    assert not torch.allclose(projector(rows)[0], projector(rows[0]), atol=1e-3)
    assert torch.equal(projector.eval()(rows), projector.train()(rows))
    hidden = projector.norms[0](projector.maps[0](rows.flatten(0, 1)))
    assert torch.allclose(hidden.mean(0), torch.zeros(12), atol=1e-5)


def test_it_computes_in_float32_under_autocast() -> None:
    projector, rows = make(), torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(projector(rows), projector(rows))
        found = projector(rows)
    assert found.dtype == torch.float32 and torch.equal(found, projector(rows))
