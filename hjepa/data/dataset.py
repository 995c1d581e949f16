"""A configured data set: training images, hold-out and, on request, the test split."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from hjepa.config import DataConfig
from hjepa.data.cache import Cache, cache_folder
from hjepa.data.catalogue import data_root, find
from hjepa.data.entry import Entry, RawSplit
from hjepa.data.images import Images, ImageSource, Indices, Labels, Pixels
from hjepa.data.mixture import MixedImages, Proportions, quotas
from hjepa.data.split import split
from hjepa.runtime.streams import numpy_generator

CACHE_LIMIT_BYTES = 4 << 30


class CachedImages:
    """Some images of a decoded array (uint8 [n, 3, S, S], usually memory-mapped)."""

    def __init__(self, images: Pixels, labels: Labels, indices: Indices) -> None:
        self._images, self._indices = images, indices
        self.labels = labels[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def batches(self, index_lists: Sequence[Indices]) -> Iterator[torch.Tensor]:
        """uint8 [b, 3, S, S], one for each index list, in order."""
        for index in index_lists:
            yield torch.from_numpy(self._images[self._indices[index]])


class StreamedImages(torch.utils.data.Dataset[torch.Tensor]):
    """Some images of a source, decoded by worker processes ahead of use."""

    def __init__(self, images: Images, indices: Indices, workers: int) -> None:
        self._images, self._indices, self._workers = images, indices, workers
        self.labels = images.labels[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.array(self._images.pixels(int(self._indices[index]))))

    def batches(self, index_lists: Sequence[Indices]) -> Iterator[torch.Tensor]:
        """uint8 [b, 3, S, S], one for each index list, in order."""
        # A generator of its own: the loader would otherwise draw its workers' seeds from the global one.
        yield from DataLoader(
            self,
            batch_sampler=[index.tolist() for index in index_lists],
            num_workers=self._workers,
            generator=torch.Generator(),
        )


@dataclass(frozen=True)
class Dataset:
    """What a run sees of a data set.

    `train` is pretrained on, `fit` (labelled training images) is what probes may fit on, `holdout`
    is for selection only. `fingerprint` names the content of the whole training split at the stored
    size; which part is held out or trained on is the configuration's. Of a mixture (`proportions` is
    given), `train` holds all parts, while classes, probes and test are those of one part.
    """

    name: str
    num_classes: int
    fingerprint: str
    train: ImageSource
    fit: ImageSource
    holdout: ImageSource
    open_test: Callable[[], ImageSource]
    proportions: Proportions | None = None

    @property
    def epoch_images(self) -> int:
        """Training images in an epoch."""
        return self.proportions.epoch_images if self.proportions else len(self.train)

    def order(self, seed: int, epoch: int) -> Indices:
        """The training images of an epoch in their order, [epoch_images]: a function of (seed, epoch) alone."""
        if self.proportions:
            return self.proportions.order(seed, epoch)
        return numpy_generator(seed, "order", epoch).permutation(len(self.train))

    def test(self) -> ImageSource:
        """The test split, opened only now."""
        return self.open_test()


def absolute(config: DataConfig) -> DataConfig:
    """The same data with explicit paths made absolute: for whoever hands it to a process that works elsewhere."""
    root = str(data_root(config)) if config.root else None
    cache = str(cache_folder(config)) if config.cache else None
    return config.model_copy(update={"root": root, "cache": cache})


def open_dataset(config: DataConfig) -> Dataset:
    """The configured data set, decoded into the cache or streamed; a mixture's parts each by itself.

    Raises ConfigError, one line, when it is missing or smaller than `data.train_size`.
    """
    if not config.shares:
        return _open_one(config)
    parts = {name: _open_one(config.part(name)) for name in config.shares}
    sizes = {name: len(part.train) for name, part in parts.items()}
    counts = quotas(config.epoch_images or sum(sizes.values()), config.shares)
    probed = parts[config.probed]
    return Dataset(
        name=config.dataset,
        num_classes=probed.num_classes,
        fingerprint=_mixed({name: part.fingerprint for name, part in parts.items()}),
        train=MixedImages([part.train for part in parts.values()]),
        fit=probed.fit,
        holdout=probed.holdout,
        open_test=probed.open_test,
        proportions=Proportions(tuple(parts), tuple(sizes.values()), tuple(counts[name] for name in parts)),
    )


def fingerprint(config: DataConfig) -> str:
    """`open_dataset(config).fingerprint`, without decoding anything. Raises ConfigError as it does."""
    if not config.shares:
        return _fingerprint(config, find(config))
    return _mixed({name: fingerprint(config.part(name)) for name in config.shares})


def _mixed(fingerprints: dict[str, str]) -> str:
    return hashlib.sha256(repr(sorted(fingerprints.items())).encode()).hexdigest()


def _open_one(config: DataConfig) -> Dataset:
    entry = find(config)
    source = _opened(config, entry, entry.train)
    parts = split(source.labels, config)
    return Dataset(
        name=entry.name,
        num_classes=entry.num_classes,
        fingerprint=_fingerprint(config, entry),
        train=source.select(parts.train),
        fit=source.select(parts.fit),
        holdout=source.select(parts.holdout),
        open_test=lambda: (test := _opened(config, entry, entry.test)).select(np.arange(len(test.labels))),
    )


def _fingerprint(config: DataConfig, entry: Entry) -> str:
    # Of the source's bytes and the stored size: the same for cache and stream, which decode the same pixels.
    content = entry.train.digest(cache_folder(config))
    return hashlib.sha256(f"{entry.num_classes}/{entry.size}/{content}".encode()).hexdigest()


@dataclass(frozen=True)
class _Opened:
    labels: Labels
    select: Callable[[Indices], ImageSource]


def _opened(config: DataConfig, entry: Entry, raw: RawSplit) -> _Opened:
    """One split, by the configured way of loading."""
    cache = Cache(cache_folder(config))
    small = raw.count() * 3 * entry.size**2 < CACHE_LIMIT_BYTES
    if config.loading == "stream" or (config.loading == "auto" and not small):
        images = raw.read()
        return _Opened(images.labels, lambda indices: StreamedImages(images, indices, config.workers))
    decoded = cache.open(raw.digest(cache.folder), entry.size, raw.read)
    return _Opened(decoded.labels, lambda indices: CachedImages(decoded.images, decoded.labels, indices))
