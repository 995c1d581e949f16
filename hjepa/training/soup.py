"""The weights of a run's last epochs: kept as small files, and averaged at its end."""

import copy
import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hjepa.config import Config
from hjepa.evaluation import Evaluator, Weights, greedy_soup, uniform_soup
from hjepa.models import Encoder
from hjepa.overrides import ConfigError
from hjepa.runtime.files import write_bytes

#: The averaged encoder, in the run's directory.
SOUP = "soup.pt"


class Soup:
    """Keeps the evaluated encoder of the last `evaluation.average_last` epochs, and averages them.

    run: the identity that marks the files, so that those of another run or seed are refused.
    """

    def __init__(self, config: Config, directory: Path, run: str) -> None:
        self.kind, epochs = config.evaluation.soup, config.training.epochs
        self.epochs = range(max(0, epochs - config.evaluation.average_last) + 1, epochs + 1)
        self.directory, self.run, self.seed = directory, run, config.seed

    def file(self, epoch: int) -> Path:
        """Where the weights after `epoch` epochs lie."""
        return self.directory / "weights" / f"epoch{epoch:05d}.pt"

    def keep(self, epoch: int, encoder: Encoder) -> None:
        """Write the weights after an epoch, if it is one of the last."""
        if epoch in self.epochs:
            save(self.file(epoch), encoder.state_dict(), run=self.run, seed=self.seed)

    def refuse_missing(self, done: int) -> None:
        """Raise ConfigError when weights of one of the `done` epochs are gone: the run could not end as it should."""
        for epoch in self.epochs:
            if epoch <= done and not self.file(epoch).exists():
                raise ConfigError([f"{self.file(epoch)}: missing; evaluation.soup averages it at the end"])

    def cook(self, like: Encoder, evaluator: Evaluator) -> tuple[Encoder, dict[str, float]]:
        """The averaged encoder, written to the directory, and what there is to say of it.

        A greedy soup is chosen by the cheap probe, which sees a part of the hold-out.
        """
        ingredients = load([self.file(epoch) for epoch in self.epochs])
        if self.kind == "uniform":
            encoder, facts = with_weights(like, uniform_soup(ingredients)), {}
        else:
            weights, chosen = greedy_soup(
                ingredients, lambda each: evaluator.rung(with_weights(like, each))["probe_rung.top1"]
            )
            encoder, facts = with_weights(like, weights), {"soup.size": float(len(chosen))}
        save(self.directory / SOUP, encoder.state_dict(), run=self.run, seed=self.seed)
        return encoder, facts

    def cooked(self, like: Encoder) -> Encoder:
        """The averaged encoder, as `cook` wrote it."""
        return with_weights(like, load([self.directory / SOUP])[0])


def with_weights(like: Encoder, weights: Weights) -> Encoder:
    """A copy of an encoder with other weights."""
    encoder = copy.deepcopy(like)
    encoder.load_state_dict(dict(weights))
    return encoder


def save(path: Path, weights: Weights, *, run: str, seed: int) -> None:
    """Write weights and the run they are of, atomically."""
    buffer = io.BytesIO()
    torch.save({"run": run, "seed": seed, "encoder": {name: each.cpu() for name, each in weights.items()}}, buffer)
    write_bytes(path, buffer.getvalue())


def load(paths: Sequence[Path]) -> list[dict[str, Tensor]]:
    """The weights of files of one run.

    Raises ConfigError for a file that cannot be read, and for files of several runs or seeds: the
    weights between two runs that were drawn apart are no encoder.
    """
    contents = [_read(path) for path in paths]
    for name, what in (("seed", "seed"), ("run", "run")):
        values = {content[name]: path for content, path in zip(contents, paths, strict=True)}
        if len(values) > 1:
            (one, first), (two, second), *_ = values.items()
            raise ConfigError([f"{first}, {second}: {what}s {one} and {two}; allowed weights of one {what}"])
    return [content["encoder"] for content in contents]


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return {name: content[name] for name in ("run", "seed", "encoder")}
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such weights"]) from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, OSError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError([f"{path}: not readable weights: {first}"]) from error
