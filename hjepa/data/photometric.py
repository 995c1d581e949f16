"""3-Augment and colour jitter with parameters of their own for each image. Images are float32 [B, 3, s, s] in 0..1.

Source: DeiT III (arXiv 2204.07118), section 3.2, and its code; differs from source in that pixels stay
real numbers between the operations and that the blur is a true Gaussian.
"""

import torch
from torch import Tensor

GREY, SOLARISE, BLUR = 0, 1, 2
SOLARISE_FROM = 128.0 / 255.0
BLUR_SIGMA = (0.1, 2.0)
LUMA = (0.299, 0.587, 0.114)


def luma(images: Tensor) -> Tensor:
    """Brightness as the eye weighs it (ITU-R 601-2), [B, 1, s, s]."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)


def solarise(images: Tensor) -> Tensor:
    """Values from 128 (of 255) on inverted."""
    return torch.where(images >= SOLARISE_FROM, 1.0 - images, images)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, `sigma` float32 [B] in pixels, edges reflected, as one banded matrix per image."""
    size = images.shape[-1]
    reach = min(3 * round(BLUR_SIGMA[1]), size - 1)
    tap = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-0.5 * (tap[None, :] / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    source = torch.arange(size, device=images.device)[:, None] + tap[None, :]
    source = (size - 1) - ((size - 1) - source.abs()).abs()
    band = torch.zeros(size, len(tap), size, device=images.device).scatter_(2, source[:, :, None], 1.0)
    matrix = torch.einsum("bt,ots->bos", kernel, band)[:, None]
    return matrix @ images @ matrix.mT


def three_augment(images: Tensor, choice: Tensor, sigma: Tensor) -> Tensor:
    """One of grayscale, solarise and blur for each image, by `choice` int64 [B] on the CPU; `sigma` float32 [B]."""
    out = images.clone()
    # The choice lies on the CPU, so that picking rows never waits for the device.
    grey, inverted, blurred = (
        (choice == kind).nonzero().flatten().to(images.device, non_blocking=True) for kind in (GREY, SOLARISE, BLUR)
    )
    out[grey] = luma(images[grey]).expand(-1, 3, -1, -1)
    out[inverted] = solarise(images[inverted])
    out[blurred] = blur(images[blurred], sigma.to(images.device, non_blocking=True)[blurred])
    return out


def color_jitter(images: Tensor, factor: Tensor, order: Tensor) -> Tensor:
    """Brightness, contrast and saturation (columns 0, 1, 2) by `factor` float32 [B, 3].

    `order` int64 [B, 3]: which of the three comes first, second, third in each image. Each is a blend with black, the
    mean grey, or the pixel's grey, as in torchvision; so one step applies any of them to any image.
    """
    for step in range(3):
        kind = order[:, step]
        amount = factor.gather(1, kind[:, None])[:, :, None, None]
        grey = luma(images)
        mean = grey.mean((2, 3), keepdim=True)
        of_mean, of_grey = ((kind == which).float()[:, None, None, None] for which in (1, 2))
        images = (amount * images + (1.0 - amount) * (of_mean * mean + of_grey * grey)).clamp(0.0, 1.0)
    return images
