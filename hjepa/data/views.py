"""The view of each image that context and target share: drawn for a whole batch, applied to any slice of it."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from hjepa.config import ViewsConfig
from hjepa.data import photometric
from hjepa.data.resample import full_matrix, mirrored, resample, resize_matrix, shifted
from hjepa.runtime.streams import generator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CROP_ATTEMPTS = 10
SIMPLE_CROP_PADDING = 4


@dataclass(frozen=True)
class ViewParameters:
    """One row for each image of a batch of B, on the CPU; None where a technique is off. Sliceable.

    box: float32 [B, 4] crop as top, left, height, width in stored pixels; offset: int64 [B, 2] position
    down and right, 0..8; flip: bool [B]; choice: int64 [B] operation of 3-Augment; sigma: float32 [B] of
    its blur; factor: float32 [B, 3] and order: int64 [B, 3] of the colour jitter.
    """

    batch: int
    box: Tensor | None = None
    offset: Tensor | None = None
    flip: Tensor | None = None
    choice: Tensor | None = None
    sigma: Tensor | None = None
    factor: Tensor | None = None
    order: Tensor | None = None

    def __len__(self) -> int:
        return self.batch

    def __getitem__(self, rows: slice) -> "ViewParameters":
        tensors = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "batch"}
        sliced = {name: None if tensor is None else tensor[rows] for name, tensor in tensors.items()}
        return ViewParameters(batch=len(range(*rows.indices(self.batch))), **sliced)


class Views:
    """Draws and applies the configured views. What is off is neither drawn nor computed."""

    def __init__(self, config: ViewsConfig) -> None:
        self.config = config

    def draw(self, batch: int, stored_size: int, seed: int, step: int) -> ViewParameters:
        """Parameters of every image of a batch at one step, from one random stream for each technique.

        So switching one technique leaves the others' draws as they were, and the draw of an image does
        not depend on how the batch is later cut up.
        """
        config = self.config
        drawn: dict[str, Tensor] = {}
        if config.crop == "random_resized":
            stream = generator(seed, "views.crop", step)
            drawn["box"] = _random_boxes(batch, stored_size, config.crop_scale, config.crop_ratio, stream)
        elif config.crop == "simple":
            stream = generator(seed, "views.crop", step)
            drawn["offset"] = torch.randint(0, 2 * SIMPLE_CROP_PADDING + 1, (batch, 2), generator=stream)
        if config.flip > 0:
            drawn["flip"] = torch.rand(batch, generator=generator(seed, "views.flip", step)) < config.flip
        if config.augmentation == "three_augment":
            low, high = photometric.BLUR_SIGMA
            drawn["choice"] = torch.randint(0, 3, (batch,), generator=generator(seed, "views.three_augment", step))
            drawn["sigma"] = low + (high - low) * torch.rand(batch, generator=generator(seed, "views.blur", step))
            if config.color_jitter > 0:
                uniform = torch.rand(batch, 6, generator=generator(seed, "views.color_jitter", step))
                drawn["factor"] = 1.0 + config.color_jitter * (2.0 * uniform[:, :3] - 1.0)
                drawn["order"] = uniform[:, 3:].argsort(1)
        return ViewParameters(batch=batch, **drawn)

    @torch.no_grad()
    def apply(self, images: Tensor, params: ViewParameters) -> Tensor:
        """The views of uint8 [B, 3, S, S] on any device: float32 [B, 3, size, size], normalised.

        Computed in float32 whatever autocast says.
        """
        assert len(images) == len(params), "one row of parameters for each image"
        with torch.autocast(images.device.type, enabled=False):
            view = self._photometric(self._geometric(_unit(images), params), params)
            return _normalised(view)

    @torch.no_grad()
    def plain(self, images: Tensor) -> Tensor:
        """For evaluation: uint8 [B, 3, S, S] resized and normalised, float32 [B, 3, size, size]."""
        with torch.autocast(images.device.type, enabled=False):
            return _normalised(self._resized(_unit(images)))

    def _resized(self, images: Tensor) -> Tensor:
        stored, size = images.shape[-1], self.config.size
        if stored == size:
            return images
        matrix = full_matrix(stored, size, images.device)
        return resample(images, matrix, matrix)

    def _geometric(self, images: Tensor, params: ViewParameters) -> Tensor:
        device, stored, size = images.device, images.shape[-1], self.config.size
        flip = None if params.flip is None else params.flip.to(device, non_blocking=True)
        if params.box is not None:
            top, left, height, width = params.box.to(device, non_blocking=True).unbind(1)
            rows = resize_matrix(top, height, stored, size)
            columns = resize_matrix(left, width, stored, size)
        elif params.offset is not None:
            down, right = params.offset.to(device, non_blocking=True).unbind(1)
            whole = full_matrix(stored, size, device)
            rows, columns = (shifted(whole, offset, SIMPLE_CROP_PADDING) for offset in (down, right))
        else:
            view = self._resized(images)
            return view if flip is None else torch.where(flip[:, None, None, None], view.flip(3), view)
        return resample(images, rows, columns if flip is None else mirrored(columns, flip))

    def _photometric(self, view: Tensor, params: ViewParameters) -> Tensor:
        if params.choice is not None and params.sigma is not None:
            view = photometric.three_augment(view, params.choice, params.sigma)
        if params.factor is not None and params.order is not None:
            factor, order = (tensor.to(view.device, non_blocking=True) for tensor in (params.factor, params.order))
            view = photometric.color_jitter(view, factor, order)
        return view


def _unit(images: Tensor) -> Tensor:
    return images.to(torch.float32).div_(255.0)  # in place: the conversion from uint8 made a new tensor


def _normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(stat, device=images.device)[:, None, None] for stat in (IMAGENET_MEAN, IMAGENET_STD))
    return images.sub_(mean).div_(std)  # in place: always a tensor of our own, see _unit


def _random_boxes(
    batch: int, side: int, scale: tuple[float, float], ratio: tuple[float, float], stream: torch.Generator
) -> Tensor:
    """Float32 [B, 4]: top, left, height, width of whole pixels, by the rule of torchvision's RandomResizedCrop.

    Ten attempts at a random area and log-uniform aspect ratio; the first that fits, else the largest
    centred box of an allowed ratio.
    """
    uniform = torch.rand(batch, CROP_ATTEMPTS, 4, generator=stream, dtype=torch.float64)
    area = side * side * (scale[0] + (scale[1] - scale[0]) * uniform[..., 0])
    low, high = torch.tensor(ratio, dtype=torch.float64).log()
    aspect = (low + (high - low) * uniform[..., 1]).exp()
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (height >= 1) & (height <= side) & (width >= 1) & (width <= side)
    first = fits.to(torch.int8).argmax(1)[:, None]
    height, width, down, right = (
        tensor.gather(1, first)[:, 0] for tensor in (height, width, uniform[..., 2], uniform[..., 3])
    )
    top, left = (down * (side - height + 1)).floor(), (right * (side - width + 1)).floor()
    box = torch.stack([top, left, height, width], 1)
    tallest, widest = max(1, round(side / max(1.0, ratio[0]))), max(1, round(side * min(1.0, ratio[1])))
    fallback = [(side - tallest) // 2, (side - widest) // 2, tallest, widest]
    return torch.where(fits.any(1)[:, None], box, torch.tensor(fallback, dtype=torch.float64)).float()
