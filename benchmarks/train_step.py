"""Whole optimiser steps per second: this project against the I-JEPA modules of lightly, at equal tokens.

    python benchmarks/train_step.py [--compile] [--rounds 15] [--batch 128] [--device cpu] [--precision bf16]
                                    [--threads 2]

ViT-Tiny 192x12x3, patch 4, 32 px; predictor 96x4 with MLP ratio 4; AdamW; 24 context and 4 x 12 target
tokens; one level, toggles off; images in memory. Ours is the product's `TrainStep`. lightly's modules
(`IJEPABackbone`, `IJEPAPredictor`) run in the loop of its own example, and take views, masks and the
fused optimiser from this project, so that only modules and loop differ; its encoder adds a class token.
With --compile our step runs once more, with `runtime.compile`; compiling falls into its first, uncounted steps.
Rounds alternate in one run. Reported: the median rate, the median of the rounds' ratios with its
quartiles, where the time of our step goes, and each side's peak memory, taken in a process of its own.
lightly is needed only here: pip install -e .[bench]
"""

import argparse
import copy
import multiprocessing
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightly.models import utils
from lightly.models.modules.ijepa import IJEPABackbone, IJEPAPredictor
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vision_transformer

from hjepa.overrides import load_config
from hjepa.runtime.environment import processor
from hjepa.training.build import Run, build

Step = Callable[[int], None]

SETTING = (
    "model.size=tiny",
    "views.size=32",
    "hierarchy.levels=1",
    "masks.target_scale=[0.1875, 0.1875]",
    "masks.target_aspect=[0.75, 0.75]",
    "masks.context_scale=[1.0, 1.0]",
    "masks.context_tokens=24",
    "predictor.width=96",
    "predictor.depth=4",
    "optim.clip_norm=null",
)
WARM_UP = 3


class LightlyIJEPA(nn.Module):
    """lightly's modules as its I-JEPA example assembles them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = IJEPABackbone(
            image_size=32, patch_size=4, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768
        )
        self.predictor = IJEPAPredictor(
            seq_length=64,
            num_layers=4,
            num_heads=3,
            hidden_dim=96,
            predictor_embed_dim=96,
            num_patches=64,
            mlp_dim=192,  # its name for the encoder's width
            dropout=0.0,
            attention_dropout=0.0,
        )
        layers = vision_transformer.Encoder(
            seq_length=64, num_layers=4, num_heads=3, hidden_dim=96, mlp_dim=384, dropout=0.0, attention_dropout=0.0
        )
        self.predictor.layers = layers.layers
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)

    def forward(self, images: Tensor, context: list[Tensor], targets: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Predicted and wanted embeddings, both [M B, T, D]."""
        with torch.no_grad():
            wanted = self.target_encoder(images)
            wanted = utils.apply_masks(F.layer_norm(wanted, (wanted.size(-1),)), targets)
            wanted = utils.repeat_interleave_batch(wanted, len(images), repeat=len(context))
        return self.predictor(self.encoder(images, context), context, targets), wanted

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """As in its example."""
        for ours, theirs in zip(self.encoder.parameters(), self.target_encoder.parameters(), strict=True):
            theirs.mul_(momentum).add_((1.0 - momentum) * ours)


def build_ours(options: argparse.Namespace, *, compiled: bool = False) -> Run:
    runtime = {name: getattr(options, name) for name in ("device", "precision", "threads", "attention")}
    runtime["compile"] = str(compiled).lower()
    sets = [*SETTING, f"optim.batch_size={options.batch}", *(f"runtime.{k}={v}" for k, v in runtime.items())]
    return build(load_config(None, sets))


def stored_images(options: argparse.Namespace) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (options.batch, 3, 32, 32), dtype=torch.uint8, generator=stream)


def our_step(options: argparse.Namespace, *, compiled: bool = False) -> tuple[Run, Step]:
    run, images = build_ours(options, compiled=compiled), stored_images(options)
    run.model.train()

    def step(index: int) -> None:
        run.step(images, index)
        run.device.synchronise()

    return run, step


def lightly_step(options: argparse.Namespace) -> Step:
    run, images = build_ours(options), stored_images(options)
    device, views = run.device, run.step.drawer.views
    (sampler,) = run.step.drawer.masks.values()
    torch.manual_seed(0)
    model = LightlyIJEPA().to(device.device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05, fused=True)

    def step(index: int) -> None:
        view = views.apply(images.to(device.device), views.draw(len(images), 32, 0, index))
        masks = sampler.draw(len(images), 0, index).to(device.device)
        with device.autocast():
            predicted, wanted = model(view, [masks.context], list(masks.targets.unbind(1)))
            loss = F.smooth_l1_loss(predicted, wanted)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        model.update_target(0.996)
        device.synchronise()

    return step


def timed(step: Step, index: int) -> float:
    start = time.perf_counter()
    step(index)
    return time.perf_counter() - start


@contextmanager
def stopwatch(run: Run, seconds: dict[str, float]) -> Iterator[None]:
    """Add the seconds of each part of our step to `seconds`, by wrapping what the step calls."""
    step = run.step
    parts: list[tuple[Any, str, str]] = [
        (step.drawer.views, "draw", "input"),
        (step.cutter.views, "apply", "input"),
        *((sampler, "draw", "masks") for sampler in step.drawer.masks.values()),
        (step.model, "target_maps", "forward, targets"),
        (step.model.encoder, "forward", "forward, context"),
        (step.model.predictors[0], "forward", "forward, predictor"),
        (step.objective, "__call__", "forward, loss"),
        (Tensor, "backward", "backward"),
        (step.optimiser, "step", "optimiser"),
        (step.model, "update_target", "EMA"),
    ]
    originals = []

    def wrap(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def measured(*args: Any, **named: Any) -> Any:
            run.device.synchronise()
            start = time.perf_counter()
            result = call(*args, **named)
            run.device.synchronise()
            seconds[name] += time.perf_counter() - start
            return result

        return measured

    for owner, method, name in parts:
        place = type(owner) if method == "__call__" else owner
        originals.append((place, method, place.__dict__.get(method)))
        setattr(place, method, wrap(getattr(place, method), name))
    try:
        yield
    finally:
        for place, method, original in originals:
            if original is None:
                delattr(place, method)
            else:
                setattr(place, method, original)


def shares(run: Run, step: Step, rounds: int) -> dict[str, float]:
    """Share of our step by part, from steps with a clock around each part."""
    seconds: dict[str, float] = defaultdict(float)
    with stopwatch(run, seconds):
        total = sum(timed(step, index) for index in range(1, rounds + 1))
    parts = {name: spent / total for name, spent in seconds.items()}
    return parts | {"the rest": 1.0 - sum(parts.values())}


def resident_peak() -> int:
    """Peak resident bytes of this process. Linux hands `ru_maxrss` down to a child, so /proc goes first."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_bytes(which: str, options: argparse.Namespace) -> tuple[int, int]:
    """Peak memory before and after a few steps, in a process of its own: the device's, or resident on a CPU."""
    device = build_ours(options).device

    def peak() -> int:
        on_device = device.peak_bytes()
        return resident_peak() if on_device is None else on_device

    before = peak()
    step = lightly_step(options) if which == "lightly" else our_step(options, compiled=which == "compiled")[1]
    for index in range(1, 4):
        step(index)
    return before, peak()


def report(options: argparse.Namespace) -> None:
    run, ours = our_step(options)
    steps = {"hjepa": ours, "lightly": lightly_step(options)}
    if options.compile:
        steps["compiled"] = our_step(options, compiled=True)[1]
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(1, options.rounds + WARM_UP + 1):
        for name, step in steps.items():
            seconds[name].append(timed(step, index))
    kept = {name: taken[WARM_UP:] for name, taken in seconds.items()}
    device, batch = run.device, options.batch
    where = processor() if device.device.type == "cpu" else torch.cuda.get_device_name()
    print(
        f"{where}, {device.threads} threads, {device.precision}, torch {torch.__version__}, batch {batch}, {run.kernel}"
    )
    for name, taken in kept.items():
        print(f"  {name:8} {batch / statistics.median(taken):8.1f} images/s, median of {len(taken)} interleaved steps")
    for name in kept.keys() - {"lightly"}:
        ratios = [theirs / mine for mine, theirs in zip(kept[name], kept["lightly"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        spread = f"quartiles {low:.2f} to {high:.2f}, range {min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {name} / lightly: {middle:.2f}, {spread}")
    print("share of our step:")
    for name, share in shares(run, ours, max(3, options.rounds // 3)).items():
        print(f"  {name:20} {share:6.1%}")
    print("peak memory, each in its own process (of which before the first step):")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, (before, peak) in zip(steps, pool.map(partial(peak_bytes, options=options), steps), strict=True):
            print(f"  {name:8} {peak / 2**20:8.0f} MiB ({before / 2**20:.0f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also with runtime.compile")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--threads", default="null", help="CPU threads; null takes the cores this process may use")
    report(parser.parse_args())


if __name__ == "__main__":
    main()
