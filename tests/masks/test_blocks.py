"""Claims: a context never meets its targets; every cell is reached in both roles; blocks are whole
rectangles; scale and aspect are independent; an impossible grid is refused at construction."""

import pytest
import torch

from hjepa.config import MasksConfig
from hjepa.masks import MaskSampler
from hjepa.overrides import ConfigError

STRATEGIES = ["multiblock", "block", "random", "raster"]


def make(grid: int = 8, **fields: object) -> MaskSampler:
    return MaskSampler(MasksConfig.model_validate(fields), grid)


@pytest.mark.parametrize("grid", [6, 8, 14, 16])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_context_and_targets_are_disjoint_and_of_fixed_size(strategy: str, grid: int) -> None:
    sampler = make(grid, strategy=strategy)
    for step in range(5):
        masks = sampler.draw(64, seed=3, step=step)
        assert masks.context.shape == (64, sampler.context_tokens)
        assert masks.targets.ndim == 3
        for row in range(64):
            context = set(masks.context[row].tolist())
            assert len(context) == sampler.context_tokens
            assert not context & set(masks.targets[row].flatten().tolist())
        assert int(masks.context.min()) >= 0
        assert int(masks.targets.max()) < grid * grid


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_cell_is_seen_in_both_roles(strategy: str) -> None:
    sampler = make(8, strategy=strategy)
    context, targets = torch.zeros(64), torch.zeros(64)
    for step in range(40):
        masks = sampler.draw(50, seed=0, step=step)
        context.index_add_(0, masks.context.flatten(), torch.ones(masks.context.numel()))
        targets.index_add_(0, masks.targets.flatten(), torch.ones(masks.targets.numel()))
    assert context.min() > 0 and targets.min() > 0


def test_kept_context_does_not_favour_the_top() -> None:
    masks = [make(8).draw(256, 0, step).context for step in range(20)]
    bottom = float((torch.cat(masks) >= 32).float().mean())
    assert 0.45 < bottom < 0.55  # the official truncation leaves 13 %


def test_blocks_are_whole_rectangles() -> None:
    for step in range(20):
        targets = make(14).draw(16, 0, step).targets
        rows, columns = targets // 14, targets % 14
        height = rows.amax(-1) - rows.amin(-1) + 1
        width = columns.amax(-1) - columns.amin(-1) + 1
        assert (height * width == targets.shape[-1]).all()


def test_scale_and_aspect_are_independent() -> None:
    sampler = make(64, target_scale=[0.05, 0.2], target_aspect=[0.5, 2.0], context_tokens=4)
    sizes = torch.tensor([sampler._sizes(torch.Generator().manual_seed(s))[:2] for s in range(2000)]).double()
    area, aspect = sizes[:, 0] * sizes[:, 1], sizes[:, 0] / sizes[:, 1]
    assert abs(float(torch.corrcoef(torch.stack([area, aspect]))[0, 1])) < 0.1


def test_steps_differ_and_a_step_repeats() -> None:
    sampler = make()
    assert torch.equal(sampler.draw(8, 1, 5).context, sampler.draw(8, 1, 5).context)
    assert not torch.equal(sampler.draw(8, 1, 5).context, sampler.draw(8, 1, 6).context)
    assert not torch.equal(sampler.draw(8, 1, 5).context, sampler.draw(8, 2, 5).context)


@pytest.mark.parametrize(
    ("grid", "fields", "words"),
    [
        (8, {"context_tokens": 40}, "masks.context_tokens: got 40; allowed at most"),
        (8, {"strategy": "random", "target_ratio": 0.9, "context_tokens": 7}, "allowed at most 6"),
        (7, {"strategy": "raster"}, "masks.strategy: got raster; allowed on an even grid"),
        (4, {"target_scale": [0.9, 1.0]}, "leave no context"),
    ],
)
def test_impossible_grids_are_refused(grid: int, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        make(grid, **fields)
