"""A trained encoder for use elsewhere."""

from pathlib import Path

import torch
from torch import Tensor, nn

from hjepa.data import Views
from hjepa.models import Encoder
from hjepa.training import checkpoint, soup
from hjepa.training.checkpoint import Progressed


class FrozenEncoder(nn.Module):
    """Images -> embeddings of a trained encoder: the EMA target encoder, or the student where there is none."""

    def __init__(self, encoder: Encoder, views: Views, features: str) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.views = views
        self.kind = features

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """uint8 images [B, 3, S, S] of any size -> float32 embeddings [B, F]; resized and normalised here."""
        return self.encoder.features(self.views.plain(images), "last4" if self.kind == "last4" else "last")


def write_encoder(path: Path, file: Path) -> None:
    """Write a checkpoint that holds the evaluated encoder of another one, and nothing to train on with.

    Raises ConfigError when there is no readable checkpoint.
    """
    config, *_ = checkpoint.load(checkpoint.find(path))
    weights = {f"encoder.{name}": value for name, value in load_encoder(path).encoder.state_dict().items()}
    checkpoint.save(file, config, weights, {}, Progressed())


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> FrozenEncoder:
    """The evaluated encoder of a run directory or checkpoint file, with its preprocessing.

    Where the configuration averages weights, it is their average, as soon as the run has ended.
    Raises ConfigError when there is no readable checkpoint.
    """
    file = checkpoint.find(Path(path))
    config, weights, _, _ = checkpoint.load(file)
    encoder = Encoder(config.model, config.grid)
    prefix = "target_encoder." if any(name.startswith("target_encoder.") for name in weights) else "encoder."
    encoder.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    if config.evaluation.soup != "none" and (file.parent / soup.SOUP).exists():
        encoder.load_state_dict(soup.load([file.parent / soup.SOUP])[0])
    return FrozenEncoder(encoder, Views(config.evaluated_views), config.evaluation.features).to(device)
