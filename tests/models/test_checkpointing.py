"""Claims: a checkpointed run has bit-equal gradients, keeps fewer bytes and computes each of its blocks twice;
what is not trained computes each block once."""

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from hjepa.models.blocks import Block
from hjepa.overrides import load_config
from hjepa.training import Run, build

SETTINGS = [
    "model.size=null",
    "model.width=64",
    "model.depth=6",
    "model.heads=2",
    "model.drop_path=0.5",
    "model.layer_scale=0.1",
    "predictor.width=32",
    "predictor.depth=3",
    "predictor.heads=2",
    "optim.batch_size=8",
    "runtime.precision=fp32",
    "runtime.device=cpu",
    "runtime.threads=1",
]


def make(kind: str, *more: str) -> Run:
    return build(load_config(None, [*SETTINGS, f"runtime.checkpointing={kind}", *more]))


def gradients(run: Run) -> dict[str, Tensor]:
    """The gradient of one step's loss."""
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found: dict[str, Tensor] = {}

    def keep(*_: object) -> None:
        found.update({name: p.grad.clone() for name, p in run.model.trainable().items() if p.grad is not None})

    run.optimiser.register_step_pre_hook(keep)
    run.model.train()
    run.step(images, 1)
    return found


@contextlib.contextmanager
def kept_bytes() -> Iterator[list[int]]:
    """The bytes that autograd keeps for the backward pass; a tensor kept twice counts once."""
    sizes: dict[int, int] = {}
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        total[0] = max(total[0], sum(sizes.values()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


def kept_by(run: Run) -> int:
    with kept_bytes() as total:
        gradients(run)
    return total[0]


@pytest.mark.parametrize(("kind", "share"), [("encoder", 0.7), ("all", 0.3)], ids=["encoder", "all"])
def test_gradients_are_bit_equal_and_fewer_bytes_are_kept(kind: str, share: float) -> None:
    plain, ours = gradients(make("none")), gradients(make(kind))
    assert plain.keys() == ours.keys()
    assert all(torch.equal(plain[name], ours[name]) for name in plain)
    few, many = kept_by(make(kind)), kept_by(make("none"))
    assert few < share * many, f"{few} of {many} bytes"


def test_rotated_positions_and_bf16_too() -> None:
    """What a block is given besides its tokens, and the precision that it runs in, are there again backwards."""
    more = ("model.positions=none", "model.rope=mixed", "runtime.precision=bf16")
    plain, ours = gradients(make("none", *more)), gradients(make("all", *more))
    assert all(torch.equal(plain[name], ours[name]) for name in plain)


@pytest.mark.parametrize(("kind", "encoder", "predictors"), [("none", 1, 1), ("encoder", 2, 1), ("all", 2, 2)])
def test_each_checkpointed_block_runs_twice_in_a_step(kind: str, encoder: int, predictors: int) -> None:
    run = make(kind)
    assert run.model.target_encoder is not None
    parts = {"encoder": run.model.encoder, "predictors": run.model.predictors, "target": run.model.target_encoder}
    seen: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    for name, part in parts.items():
        for block in part.modules():
            if isinstance(block, Block):
                blocks[name] += 1
                _count(block, seen, name)
    gradients(run)
    assert {name: seen[name] / blocks[name] for name in parts} == {
        "encoder": encoder,
        "predictors": predictors,
        "target": 1,
    }


def test_a_probe_computes_each_block_once() -> None:
    encoder = make("all", "target.encoder=stop_gradient").model.encoder.eval()
    seen: Counter[str] = Counter()
    for block in encoder.blocks:
        _count(block, seen, "encoder")
    encoder.features(torch.zeros(2, 3, 32, 32), "last").sum().backward()
    assert seen["encoder"] == len(encoder.blocks)


def _count(block: nn.Module, seen: Counter[str], name: str) -> None:
    """Count the block's calls; a forward hook would miss the second, which stops before its end."""
    block.register_forward_pre_hook(lambda *_: seen.update([name]))
