"""Two small image folders of drawn shapes, for whatever needs real files on disk."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")
SIDE = 16
PER_CLASS = {"train": 40, "val": 10}


def make_shapes(root: Path) -> None:
    """Write `root`/shapes and `root`/shapes_b: {train,val}/{circle,square,triangle}/*.png, 120 + 30 images of 16 px."""
    for seed, folder in enumerate(("shapes", "shapes_b")):
        rng = np.random.default_rng(seed)
        for part, count in PER_CLASS.items():
            for name in CLASSES:
                target = root / folder / part / name
                target.mkdir(parents=True)
                for index in range(count):
                    _draw(name, rng).save(target / f"{index:03d}.png")


def _draw(name: str, rng: np.random.Generator) -> Image.Image:
    noise = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    left, top = rng.integers(0, SIDE // 2, 2).tolist()
    right, bottom = left + SIDE // 2 - 1, top + SIDE // 2 - 1
    colour = tuple(rng.integers(100, 256, 3).tolist())
    pen = ImageDraw.Draw(image)
    if name == "circle":
        pen.ellipse((left, top, right, bottom), fill=colour)
    elif name == "square":
        pen.rectangle((left, top, right, bottom), fill=colour)
    else:
        pen.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=colour)
    return image
