"""Several data sets as one: how many images of each an epoch has, in what order, and the images themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hjepa.data.images import ImageSource, Indices, Labels
from hjepa.data.split import stratified_order
from hjepa.overrides import ConfigError, problem
from hjepa.runtime.streams import numpy_generator


def quotas(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`total` images in these shares (which add up to 1), to within one image (largest remainders).

    Raises ConfigError when a data set is left without an image.
    """
    exact = {name: total * share for name, share in shares.items()}
    count = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: count[name] - exact[name])
    for name in by_remainder[: total - sum(count.values())]:
        count[name] += 1
    empty = [name for name, number in count.items() if not number]
    if empty:
        raise ConfigError([problem("data.epoch_images", total, f"more, so that {empty[0]} has an image in each epoch")])
    return count


@dataclass(frozen=True)
class Proportions:
    """The parts of a mixture, in the order in which their images are numbered: name, images, images in an epoch."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def epoch_images(self) -> int:
        """Images in an epoch."""
        return sum(self.counts)

    def order(self, seed: int, epoch: int) -> Indices:
        """The images of an epoch, [epoch_images]: a function of (seed, epoch) alone.

        Each part has its exact count, spread evenly: the first images of the epoch, however many, have the
        shares of the whole to within an image of each part. Which of a part's images is drawn anew for each
        epoch; none comes again in an epoch before all others of its part have come.
        """
        starts = np.cumsum([0, *self.sizes[:-1]])
        drawn = [
            start + _drawn(name, size, count, seed, epoch)
            for name, start, size, count in zip(self.names, starts, self.sizes, self.counts, strict=True)
        ]
        part = np.repeat(np.arange(len(self.counts)), self.counts)
        order: Indices = np.concatenate(drawn)[stratified_order(part, numpy_generator(seed, "order.mixture", epoch))]
        return order


def _drawn(name: str, size: int, count: int, seed: int, epoch: int) -> Indices:
    """`count` images of a part of `size`: one random order, and another one where that is not enough."""
    rounds = range(-(-count // size))
    orders = [numpy_generator(seed, f"order.{name}", epoch, number).permutation(size) for number in rounds]
    drawn: Indices = np.concatenate(orders)[:count]
    return drawn


class MixedImages:
    """The images of several sources, numbered one source after the other; all of one stored size.

    Without labels, as those of different data sets do not mean the same.
    """

    def __init__(self, parts: Sequence[ImageSource]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.labels: Labels = np.full(int(self._starts[-1]), -1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, index_lists: Sequence[Indices]) -> Iterator[torch.Tensor]:
        """uint8 [b, 3, S, S], one for each index list, in order."""
        owners = [np.searchsorted(self._starts, index, side="right") - 1 for index in index_lists]
        streams = []
        for number, part in enumerate(self._parts):
            own = [index[owner == number] for index, owner in zip(index_lists, owners, strict=True)]
            streams.append(part.batches([index - self._starts[number] for index in own if len(index)]))
        for owner in owners:
            present = np.unique(owner)
            pieces = torch.cat([next(streams[number]) for number in present])
            # The pieces lie part by part: put each image back to its place.
            place = np.concatenate([np.flatnonzero(owner == number) for number in present])
            batch = torch.empty_like(pieces)
            batch[torch.from_numpy(place)] = pieces
            yield batch
