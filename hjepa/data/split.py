"""Which images are held out and which are trained on: a function of the labels and the split seed alone."""

from dataclasses import dataclass

import numpy as np

from hjepa.config import DataConfig
from hjepa.data.images import Indices, Labels
from hjepa.overrides import ConfigError, problem
from hjepa.runtime.streams import numpy_generator


def stratified_order(labels: Labels, generator: np.random.Generator) -> Indices:
    """A random order of all images in which every prefix has the class shares of the whole, to within one image.

    Each class is shuffled and spread evenly over (0, 1); sorting by that position interleaves the classes.
    """
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[members] = (generator.permutation(len(members)) + 0.5) / len(members)
    # Equal positions (balanced classes) are broken at random, not by class.
    return np.lexsort((generator.random(len(labels)), position)).astype(np.int64)


@dataclass(frozen=True)
class Split:
    """Indices into the decoded training split; every prefix of each is stratified."""

    train: Indices
    fit: Indices
    holdout: Indices


def split(labels: Labels, config: DataConfig) -> Split:
    """Hold out a stratified share of the labelled images, then take `train_size` of the rest.

    A smaller `train_size` is a subset of a larger one; the hold-out does not depend on it. Images
    without a label (-1) are only pretrained on: with them, `fit` is the labelled rest, at most `train_size`.
    Raises ConfigError when `train_size` exceeds the rest or the hold-out would be empty or everything.
    """
    labelled, unlabelled = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
    order = labelled[stratified_order(labels[labelled], numpy_generator(config.split_seed, "split"))]
    held = round(config.holdout * len(order))
    if not 0 < held < len(order):
        allowed = f"a share that leaves at least one of {len(order)} labelled images on each side"
        raise ConfigError([problem("data.holdout", config.holdout, allowed)])
    holdout, rest = order[:held], order[held:]
    pool = rest
    if len(unlabelled):
        pool = unlabelled if config.stl10 == "unlabelled" else np.concatenate([rest, unlabelled])
        pool = pool[stratified_order(labels[pool], numpy_generator(config.split_seed, "split.pool"))]
    size = config.train_size if config.train_size is not None else len(pool)
    if size > len(pool):
        allowed = f"at most {len(pool)} (what is left of {config.dataset} after the hold-out)"
        raise ConfigError([problem("data.train_size", size, allowed)])
    return Split(train=pool[:size], fit=rest[:size], holdout=holdout)
