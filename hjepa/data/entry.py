"""What the catalogue says of a data set: where its splits lie, how many classes it has, how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hjepa.config import DataConfig
from hjepa.data.images import Images
from hjepa.overrides import ConfigError


@dataclass(frozen=True)
class RawSplit:
    """A split that is not read yet.

    `count()` estimates its number of images without reading them, `digest(memo folder)` names its
    content, `read()` opens it.
    """

    count: Callable[[], int]
    digest: Callable[[Path], str]
    read: Callable[[], Images]


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue, found on this machine; `size` is the side images are decoded to."""

    name: str
    num_classes: int
    size: int
    train: RawSplit
    test: RawSplit


def missing(
    config: DataConfig, root: Path | None, folder: str, detail: str = "", *, fetch: bool = False
) -> ConfigError:
    """The one line for a data set that is not under the data root; `fetch`: torchvision could download it."""
    looked = f"looked in {root / folder}" if root else "neither data.root nor HJEPA_DATA is set"
    ways = f"set data.root or HJEPA_DATA to the folder that holds {folder}"
    if fetch:
        ways += ", or data.download=true to let torchvision fetch it"
    return ConfigError([f"data.dataset: {config.dataset} is missing{detail}; {looked}; {ways}"])
