"""What the settings cost and save that no accuracy search may vary: attention kernel, checkpointing, compile, ...

    python benchmarks/systems.py [--rounds 10] [--only attention] [path=value ...]

Whole optimiser steps of the product's `TrainStep` on images in memory; each row differs from the first
in one field of `runtime` and runs in a process of its own, in this order, the first row once more at the end (the
difference of the two is what the machine's own noise makes). Columns: the attention kernels that the profiler sees in
a step; the median time of a step; the peak memory (of the device, or of the process on a CPU) above that before the
first step; the bytes that autograd keeps for the backward pass, which are the same on every device. What this
machine lacks is said and left out. Default: ViT-Tiny, 32 px, patch 4, three levels, batch 128.
"""

import argparse
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from hjepa.overrides import ConfigError, knobs, load_config
from hjepa.runtime.environment import processor
from hjepa.training.build import Run, build
from hjepa.training.train import peak_memory

SETTING = ("model.size=tiny", "optim.batch_size=128")
#: The fields that are varied, in the table's order.
VARIED = ("attention", "checkpointing", "compile", "precision", "micro_batch")
WARM_UP = 3
#: Names of fused attention among what PyTorch and the device run.
FUSED = re.compile(r"aten::_scaled_dot_product_\w+|\w*(?:flash_fwd|flash_bwd|fmha|sdpa)\w*")
MIB = 2**20


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds of a step, bytes."""

    name: str
    where: str = ""
    kernels: str = ""
    seconds: float = 0.0
    peak: int = 0
    kept: int = 0
    problem: str = ""


def measure(name: str, sets: list[str], rounds: int) -> Row:
    """One row, in the process that calls."""
    try:
        run = build(load_config(None, sets))
    except ConfigError as error:
        return Row(name, problem=str(error))
    step = steps(run)
    before = peak_memory(run) or 0
    seconds = [step() for _ in range(WARM_UP + rounds)][WARM_UP:]
    peak = (peak_memory(run) or 0) - before
    with kept_bytes() as kept:
        step()
    device = run.device
    where = processor() if device.device.type == "cpu" else torch.cuda.get_device_name()
    where = f"{where}, {device.threads} threads, torch {torch.__version__}"
    return Row(name, where, kernels(step), statistics.median(seconds), peak, sum(kept.values()))


def steps(run: Run) -> Callable[[], float]:
    """A call that trains one step and gives its seconds."""
    shape = (run.config.optim.batch_size, 3, run.config.views.size, run.config.views.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    run.model.train()
    done = 0

    def step() -> float:
        nonlocal done
        done += 1
        run.device.synchronise()
        start = time.perf_counter()
        run.step(images, done)
        run.device.synchronise()
        return time.perf_counter() - start

    return step


@contextmanager
def kept_bytes() -> Iterator[dict[int, int]]:
    """Bytes of each storage that autograd keeps, by its address."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def kernels(step: Callable[[], float]) -> str:
    """The attention kernels of a step: PyTorch's names, on CUDA the device's too."""
    on_cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    with profile(activities=[ProfilerActivity.CPU, *on_cuda]) as seen:
        step()
    names = {match.group() for event in seen.events() if (match := FUSED.search(event.name))}
    return ", ".join(sorted(names)) or "explicit softmax"


def variations(base: list[str], only: list[str]) -> list[tuple[str, list[str]]]:
    """Names and settings of the rows."""
    config = load_config(None, base)
    rows: list[tuple[str, list[str]]] = [("as given", base)]
    for field in only or VARIED:
        knob = knobs()[f"runtime.{field}"]
        values = list(knob.choices) if knob.choices else [config.optim.batch_size // 4]
        now = getattr(config.runtime, field)
        for value in values:
            if value != now:
                text = str(value).lower()
                rows.append((f"{field}: {text}", [*base, f"runtime.{field}={text}"]))
    return [*rows, ("as given, again", base)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", action="append", choices=VARIED, default=[])
    parser.add_argument("settings", nargs="*", metavar="path=value")
    options = parser.parse_args()
    rows = variations([*SETTING, *options.settings], options.only)
    print("| setting | attention | ms a step | peak memory, MiB | kept for the backward pass, MiB |")
    print("| --- | --- | --- | --- | --- |")
    lacking, where = [], ""
    for name, sets in rows:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            row = pool.submit(measure, name, sets, options.rounds).result()
        if row.problem:
            lacking.append(row.problem)
            continue
        where = row.where
        print(
            f"| {name} | {row.kernels} | {1e3 * row.seconds:.1f} | {row.peak / MIB:.0f} | {row.kept / MIB:.0f} |",
            flush=True,
        )
    print(f"\n{where}; {' '.join([*SETTING, *options.settings])}")
    for line in lacking:
        print(f"not here: {line}")


if __name__ == "__main__":
    main()
