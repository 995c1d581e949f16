"""All scores of one run: which images each is fitted on and scored on."""

from collections.abc import Callable

import numpy as np

from hjepa.config import EvaluationConfig
from hjepa.data import Dataset, ImageSource, Views
from hjepa.evaluation.collapse import statistics
from hjepa.evaluation.features import FeatureEncoder, Features, Indices, extract, pixels
from hjepa.evaluation.level_probes import MapEncoder, level_probes
from hjepa.evaluation.linear import ProbeScore, few_label_probe, linear_probe
from hjepa.evaluation.neighbours import knn_accuracy, refuse_large_k
from hjepa.models.level_targets import LevelTargets
from hjepa.overrides import ConfigError, problem
from hjepa.runtime.device import Device
from hjepa.runtime.streams import numpy_generator

Embed = Callable[[ImageSource, Indices], Features]

#: Most training images that the raw-pixel floor is fitted on.
PIXEL_TRAIN = 50_000


class Evaluator:
    """Scores of frozen encoders on a data set; every method uses the same images for every encoder and seed.

    Fitted on `dataset.fit` and scored on `dataset.holdout`, except `test`, which alone opens the test
    split. The sources are in a random stratified order, so a cheap probe takes the first images.
    With `labels_per_class` each score is a mean over `draws` fits on so many labels a class.
    Raises ConfigError when there are too few images for the neighbours or the labels asked for.
    """

    def __init__(self, config: EvaluationConfig, dataset: Dataset, views: Views, device: Device) -> None:
        self.config, self.dataset, self.views, self.device = config, dataset, views, device
        self._all = np.arange(len(dataset.fit))
        self._cheap = self._all[: config.rung_train]
        self._holdout = np.arange(len(dataset.holdout))
        if config.labels_per_class is None:
            refuse_large_k(config.knn_k, len(self._cheap))
        else:
            self._draws(self._cheap)

    def rung(self, encoder: FeatureEncoder) -> dict[str, float]:
        """The cheap scores: at most `rung_train` and `rung_holdout` images; and the held-out features' statistics."""
        embed = self._embedding(encoder)
        scored = self._holdout[: self.config.rung_holdout]
        features = embed(self.dataset.holdout, scored)
        probe, knn = self._score(embed, self._cheap, (features, self.dataset.holdout.labels[scored]))
        return {"probe_rung.top1": probe.top1, "knn_rung.top1": knn, **statistics(features)}

    def full(self, encoder: FeatureEncoder) -> dict[str, float]:
        """The scores on all images: probe.top1, knn.top1, the probe's C, and its spread over few-label draws."""
        embed = self._embedding(encoder)
        holdout = self.dataset.holdout
        probe, knn = self._score(embed, self._all, (embed(holdout, self._holdout), holdout.labels))
        scores = {
            "probe.top1": probe.top1,
            "knn.top1": knn,
            "probe.c": probe.c,
            "probe.converged": float(probe.converged),
        }
        return scores if self.config.labels_per_class is None else scores | {"probe.std": probe.std}

    def pixels(self) -> dict[str, float]:
        """The same of raw pixels at the stored size, averaged to at most 8 x 8 cells, as a floor.

        Fitted on at most 50,000 images, which keeps it to seconds, and scored on the whole hold-out.
        """
        holdout = self.dataset.holdout
        scored = (pixels(holdout, self._holdout), holdout.labels)
        probe, knn = self._score(pixels, self._all[:PIXEL_TRAIN], scored)
        return {"pixels.probe.top1": probe.top1, "pixels.knn.top1": knn}

    def levels(self, encoder: MapEncoder, targets: LevelTargets) -> dict[str, float]:
        """The score of each level's cells on all images, `probe.level<l>.top1`."""
        return level_probes(
            encoder,
            targets,
            self.dataset,
            lambda cells, source, indices: self._embedding(cells)(source, indices),
        )

    def test(self, encoder: FeatureEncoder) -> dict[str, float]:
        """Scores on the test split, fitted as `full` is. For a run that is to be reported; never for selection."""
        embed = self._embedding(encoder)
        source = self.dataset.test()
        probe, knn = self._score(embed, self._all, (embed(source, np.arange(len(source))), source.labels))
        return {"test.probe.top1": probe.top1, "test.knn.top1": knn}

    def _embedding(self, encoder: FeatureEncoder) -> Embed:
        return lambda source, indices: extract(encoder, source, indices, self.views, self.device, self.config.features)

    def _score(self, embed: Embed, pool: Indices, scored: tuple[Features, Indices]) -> tuple[ProbeScore, float]:
        """Probe and mean k-NN accuracy on `scored`, fitted on the images `pool` of `dataset.fit`."""
        source, config, classes = self.dataset.fit, self.config, self.dataset.num_classes
        if config.labels_per_class is None:
            banks = [(embed(source, pool), source.labels[pool])]
            probe = linear_probe(banks[0], scored, classes)
        else:
            banks = self._few_labels(embed, pool)
            probe = few_label_probe(banks, scored, classes)
        knn = [knn_accuracy(bank, scored, classes, config.knn_k, config.knn_temperature) for bank in banks]
        return probe, float(np.mean(knn))

    def _few_labels(self, embed: Embed, pool: Indices) -> list[tuple[Features, Indices]]:
        """Features and labels of each draw; an image that several draws share is embedded once."""
        draws = self._draws(pool)
        needed = np.unique(np.concatenate(draws))
        features = embed(self.dataset.fit, needed)
        labels = self.dataset.fit.labels
        return [(features[np.searchsorted(needed, draw)], labels[draw]) for draw in draws]

    def _draws(self, pool: Indices) -> list[Indices]:
        """The images of each draw: so many of each class, whatever the trial's seed, so that trials are paired."""
        per_class = self.config.labels_per_class
        assert per_class is not None
        labels = self.dataset.fit.labels[pool]
        members = [pool[labels == label] for label in np.unique(labels)]
        fewest = min(len(rows) for rows in members)
        if per_class > fewest:
            allowed = f"2 to {fewest} (the images of the smallest class among {len(pool)})"
            raise ConfigError([problem("evaluation.labels_per_class", per_class, allowed)])
        refuse_large_k(self.config.knn_k, per_class * len(members))
        streams = [numpy_generator(0, "probe.draw", draw) for draw in range(self.config.draws)]
        return [
            np.concatenate([stream.choice(rows, per_class, replace=False) for rows in members]) for stream in streams
        ]
