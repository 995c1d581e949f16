"""The views of an image, which context and target share: drawn for a whole batch, applied to any slice of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from hjepa.config import ViewsConfig
from hjepa.data import corruption, photometric
from hjepa.data.boxes import random_boxes
from hjepa.data.parameters import SIMPLE_CROP_PADDING, ViewParameters
from hjepa.data.resample import full_matrix, mirrored, resample, resize_matrix, shifted
from hjepa.runtime.streams import generator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: A random stream of the step, by its name.
Stream = Callable[[str], torch.Generator]


class Views:
    """Draws and applies the configured views. What is off is neither drawn nor computed."""

    def __init__(self, config: ViewsConfig) -> None:
        self.config = config

    def draw(self, batch: int, stored_size: int, seed: int, step: int, *view: int) -> ViewParameters:
        """Parameters of every image of a batch at one step, from one random stream for each technique.

        So switching one technique leaves the others' draws as they were, and the draw of an image does
        not depend on how the batch is later cut up. `view` numbers further views of the same images,
        which are drawn independently.
        """

        def stream(name: str) -> torch.Generator:
            return generator(seed, f"views.{name}", step, *view)

        drawn = self._draw_crop(batch, stored_size, stream) | self._draw_colours(batch, stream)
        drawn |= self._draw_corruption(batch, stream)
        return ViewParameters(batch=batch, stored=stored_size, size=self.config.size, **drawn)

    def _draw_crop(self, batch: int, stored_size: int, stream: Stream) -> dict[str, Tensor]:
        config = self.config
        drawn: dict[str, Tensor] = {}
        if config.crop == "random_resized":
            drawn["box"] = random_boxes(batch, stored_size, config.crop_scale, config.crop_ratio, stream("crop"))
        elif config.crop == "simple":
            drawn["offset"] = torch.randint(0, 2 * SIMPLE_CROP_PADDING + 1, (batch, 2), generator=stream("crop"))
        if config.flip > 0:
            drawn["flip"] = torch.rand(batch, generator=stream("flip")) < config.flip
        return drawn

    def _draw_colours(self, batch: int, stream: Stream) -> dict[str, Tensor]:
        config = self.config
        drawn: dict[str, Tensor] = {}
        if config.augmentation == "three_augment":
            low, high = photometric.BLUR_SIGMA
            drawn["choice"] = torch.randint(0, 3, (batch,), generator=stream("three_augment"))
            drawn["sigma"] = low + (high - low) * torch.rand(batch, generator=stream("blur"))
            if config.color_jitter > 0:
                uniform = torch.rand(batch, 6, generator=stream("color_jitter"))
                drawn["factor"] = 1.0 + config.color_jitter * (2.0 * uniform[:, :3] - 1.0)
                drawn["order"] = uniform[:, 3:].argsort(1)
        elif config.augmentation == "randaugment":
            from hjepa.data.randaugment import draw_operations  # noqa: PLC0415 - torchvision takes seconds to load

            drawn["operations"] = draw_operations(batch, config.randaugment_ops, stream("randaugment"))
        return drawn

    def _draw_corruption(self, batch: int, stream: Stream) -> dict[str, Tensor]:
        config = self.config
        drawn: dict[str, Tensor] = {}
        if config.erasing > 0:
            random = stream("erasing")
            erased = torch.rand(batch, generator=random) < config.erasing
            box = random_boxes(batch, config.size, corruption.ERASED_SHARE, corruption.ERASED_RATIO, random)
            drawn["erased"] = box * erased[:, None]
        if config.noise > 0:
            drawn["noise"] = torch.randint(0, 2**31 - 1, (batch,), generator=stream("noise"), dtype=torch.int32)
        return drawn

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
    def corrupt(self, views: Tensor, params: ViewParameters) -> Tensor | None:
        """What the student alone sees of `views` (float32 [B, 3, size, size], as `apply` makes them); None: no change.

        Noise first, then boxes are erased.
        """
        if params.noise is None and params.erased is None:
            return None
        assert len(views) == len(params), "one row of parameters for each view"
        with torch.autocast(views.device.type, enabled=False):
            if params.noise is not None:
                views = views + self.config.noise * corruption.gaussian(params.noise, views.shape[1:], views.device)
            return views if params.erased is None else corruption.erase(views, params.erased)

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
        if params.operations is not None:
            from hjepa.data.randaugment import randaugment  # noqa: PLC0415 - as above

            view = randaugment(view, params.operations, self.config.randaugment_magnitude)
        return view


def _unit(images: Tensor) -> Tensor:
    return images.to(torch.float32).div_(255.0)  # in place: the conversion from uint8 made a new tensor


def _normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(stat, device=images.device)[:, None, None] for stat in (IMAGENET_MEAN, IMAGENET_STD))
    return images.sub_(mean).div_(std)  # in place: always a tensor of our own, see _unit
