"""Views with parameters of their own for each image: this project's against kornia and torchvision v2.

    python benchmarks/augmentation.py [--size 32] [--batch 256] [--device cpu] [--threads 2]

Rounds of all methods are interleaved in one run; each method's images/s is that of its fastest round
(what else runs on the machine only adds time), and the ratio is this project's over that method's.
Draws are counted, host-to-device copies are not.
kornia is needed only here; without it its rows are left out.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

from hjepa.config import ViewsConfig
from hjepa.data import Views
from hjepa.data.views import IMAGENET_MEAN, IMAGENET_STD

Method = Callable[[Tensor, int], Tensor]


def ours(size: int, augmentation: str) -> Method:
    """The product's views, drawn and applied."""
    views = Views(ViewsConfig.model_validate({"size": size, "augmentation": augmentation}))
    return lambda images, step: views.apply(images, views.draw(len(images), images.shape[-1], 0, step))


def torchvision_v2(size: int, augmentation: str) -> Method:
    """torchvision draws one set of parameters for a call, so each image is a call."""
    steps: list[torch.nn.Module] = [
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomResizedCrop(size, (0.3, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    if augmentation == "three_augment":
        choices = [v2.RandomGrayscale(1.0), v2.RandomSolarize(128 / 255, 1.0), v2.GaussianBlur(13, (0.1, 2.0))]
        steps += [v2.RandomChoice(choices), v2.ColorJitter(0.3, 0.3, 0.3)]
    elif augmentation == "randaugment":
        steps.append(v2.RandAugment())
    transform = v2.Compose([*steps, v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    return lambda images, _step: torch.stack([transform(image) for image in images])


def kornia(size: int, augmentation: str) -> Method:
    """kornia draws for each image of a batch; its crop is not antialiased."""
    from kornia import augmentation as k  # noqa: PLC0415 - optional

    steps = [k.RandomResizedCrop((size, size), scale=(0.3, 1.0), cropping_mode="resample"), k.RandomHorizontalFlip()]
    if augmentation == "three_augment":
        # Independent draws at a third each: kornia's random choice is one for the whole batch.
        steps += [
            k.RandomGrayscale(p=1 / 3),
            k.RandomSolarize((128 / 255, 128 / 255), (0.0, 0.0), p=1 / 3),
            k.RandomGaussianBlur((13, 13), (0.1, 2.0), p=1 / 3),
            k.ColorJitter(0.3, 0.3, 0.3, p=1.0),
        ]
    chain = k.AugmentationSequential(*steps, k.Normalize(IMAGENET_MEAN, IMAGENET_STD), data_keys=["input"])
    return lambda images, _step: chain(images.float() / 255.0)


def measure(methods: dict[str, Method], images: Tensor, rounds: int) -> dict[str, float]:
    """Images per second of each method in its fastest round, after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for step in range(rounds + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            method(images, step)
            if images.is_cuda:
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: len(images) / min(taken[1:]) for name, taken in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.batch, 3, options.size, options.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).to(options.device)
    makers = {"hjepa": ours, "torchvision v2": torchvision_v2}
    if importlib.util.find_spec("kornia"):
        makers["kornia"] = kornia
    print(f"batch {options.batch}, {options.size} px, {options.device}, {options.threads} threads")
    titles = {
        "none": "crop + flip",
        "three_augment": "crop + flip + 3-Augment + jitter",
        "randaugment": "crop + flip + RandAugment",
    }
    for augmentation, title in titles.items():
        if augmentation == "randaugment":
            makers.pop("kornia", None)  # its RandAugment draws one set of operations for a batch
        speed = measure(
            {name: make(options.size, augmentation) for name, make in makers.items()}, images, options.rounds
        )
        for name, rate in speed.items():
            print(f"{title:34} {name:15} {rate:10,.0f} images/s   ratio {speed['hjepa'] / rate:6.2f}")


if __name__ == "__main__":
    main()
