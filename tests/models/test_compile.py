"""Claims: with `runtime.compile` a whole run (probes, micro-batches, checkpointing) is as without to rounding, its
blocks are compiled once for all, and its checkpoint is any other's; where nothing can be compiled it is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from hjepa.models.blocks import Block
from hjepa.overrides import ConfigError, knobs, load_config
from hjepa.runtime import compiler
from hjepa.training import build
from tests import effect_gate as gate

pytestmark = [
    pytest.mark.timeout(900),  # g++ on a busy machine
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),  # from within the compiler
    pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def _afresh() -> None:
    torch._dynamo.reset()
    counters.clear()


#: One level, as each kind of block takes a while to compile.
SMALL = {path: value for path, value in gate.BASE.items() if path != "hierarchy.child_rule"} | {"hierarchy.levels": 1}


@pytest.mark.slow
def test_a_run_with_compiled_blocks_is_as_without(tmp_path: Path) -> None:
    field, flip = knobs()["runtime.compile"], {"runtime.compile": True}
    plain, compiled = gate.run(SMALL, {}, tmp_path / "plain"), gate.run(SMALL, flip, tmp_path / "compiled")
    assert gate.fault(field, plain, compiled) is None
    assert plain.parts["weights"].keys() == compiled.parts["weights"].keys()
    # Student and target; predictor, and its last block; probes: each once, and some again for any size.
    assert 4 <= counters["stats"]["unique_graphs"] <= 10
    assert not counters["graph_break"]


@pytest.mark.slow
def test_micro_batches_and_checkpointing_compile_too() -> None:
    settings = [f"{path}={json.dumps(value)}" for path, value in SMALL.items()]
    settings += ["model.positions=none", "model.rope=mixed", "model.drop_path=0.5", "predictor.depth=1"]
    settings += ["runtime.micro_batch=16", "runtime.checkpointing=all"]
    runs = [build(load_config(None, [*settings, f"runtime.compile={compile}"])) for compile in ("false", "true")]
    losses = []
    for run in runs:
        run.model.train()
        (images,) = run.dataset.train.batches([np.arange(48)])
        losses.append([float(run.step(images, step)["loss"]) for step in (1, 2)])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert counters["stats"]["unique_graphs"] > 0


@pytest.mark.slow
def test_only_transformer_blocks_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where it is asked for."""
    monkeypatch.setattr(compiler, "_failure", lambda kind: None)
    for compile, expected in (("false", False), ("true", True)):
        model = build(load_config(None, ["model.size=micro", f"runtime.compile={compile}"])).model
        for part in model.modules():
            assert (part._compiled_call_impl is not None) is (expected and isinstance(part, Block))


def test_a_machine_that_cannot_compile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmany lines of advice")

    monkeypatch.setattr(torch, "compile", lambda function: fail)
    compiler._failure.cache_clear()
    with pytest.raises(ConfigError) as caught:
        build(load_config(None, ["model.size=micro", "runtime.compile=true", "runtime.device=cpu"]))
    compiler._failure.cache_clear()
    (line,) = caught.value.problems
    assert line.startswith("runtime.compile: got true; allowed false (torch.compile fails on this cpu: InvalidCxx")
