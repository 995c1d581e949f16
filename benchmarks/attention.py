"""Explicit softmax attention against SDPA's kernels, for the lengths that a JEPA step has.

    python benchmarks/attention.py [--device cpu] [--threads 2] [--rounds 15]

Calls of all kernels alternate in one run; printed is the median time of a call in milliseconds and, in
brackets, how many times as fast as the explicit softmax it is. Lengths: 16 to 30 context tokens and
64 or 196 whole images (encoder, heads of 64), 36 context and target tokens together (predictor, heads
of 32, four times the batch). `runtime.attention: auto` follows this table.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from hjepa.config import RuntimeConfig
from hjepa.models.attention import BACKENDS, attend, resolve_kernel
from hjepa.overrides import ConfigError
from hjepa.runtime.device import Device, pick_device
from hjepa.runtime.environment import processor

#: Title, images, heads, tokens, width of a head.
CASES = (
    ("encoder", 128, 3, 16, 64),
    ("encoder", 128, 3, 24, 64),
    ("encoder", 128, 3, 30, 64),
    ("predictor", 512, 3, 36, 32),
    ("encoder", 128, 3, 64, 64),
    ("encoder", 32, 6, 196, 64),
)


def call(kernel: str, qkv: Tensor, gradient: Tensor | None) -> Callable[[], None]:
    """One attention on views of a projection [B, N, 3, H, d], as in a block; backwards too when a gradient is given."""

    def run() -> None:
        with torch.set_grad_enabled(gradient is not None):
            mixed = attend(*qkv.permute(2, 0, 3, 1, 4), kernel).transpose(1, 2).flatten(2)
        if gradient is not None:
            mixed.backward(gradient)
            qkv.grad = None

    return run


def medians(calls: dict[str, Callable[[], None]], rounds: int, device: Device) -> dict[str, float]:
    """Median seconds of each call over interleaved rounds, after two to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 2):
        for name, run in calls.items():
            device.synchronise()
            start = time.perf_counter()
            run()
            device.synchronise()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[2:]) for name, taken in seconds.items()}


def available(device: Device, dtype: torch.dtype) -> list[str]:
    """The kernels that run here, the explicit softmax first."""
    names = ["eager"]
    for name in BACKENDS:
        try:
            names.append(resolve_kernel(name, device.device, dtype, 64))
        except ConfigError:
            continue
    return names


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    device = pick_device(RuntimeConfig(device=options.device, threads=options.threads))
    where = processor() if device.device.type == "cpu" else device.device.type
    print(f"{where}, {device.threads} threads, torch {torch.__version__}")
    for dtype in (torch.bfloat16, torch.float32):
        kernels = available(device, dtype)
        print(f"\n{str(dtype).removeprefix('torch.'):42}" + "".join(f"{name:>18}" for name in kernels))
        for title, images, heads, tokens, width in CASES:
            for train in (False, True):
                like = {"device": device.device, "dtype": dtype}
                qkv = torch.randn((images, tokens, 3, heads, width), **like, requires_grad=train)
                gradient = torch.randn((images, tokens, heads * width), **like) if train else None
                taken = medians({name: call(name, qkv, gradient) for name in kernels}, options.rounds, device)
                row = f"{title:9} {tokens:4} tokens x {images:3} {'forward + backward' if train else 'forward':18}"
                print(row + "".join(f"{1e3 * s:9.2f} ({taken['eager'] / s:4.2f}x)" for s in taken.values()), flush=True)


if __name__ == "__main__":
    main()
