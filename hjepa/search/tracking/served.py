"""What MLflow loads of a logged encoder; `mlflow.pyfunc.load_model` finds `_load_pyfunc` here."""

from pathlib import Path

import numpy as np
import torch

from hjepa.training.load import load_encoder


class Served:
    """Images [B, 3, S, S], float32 from 0 to 1 -> embeddings [B, D], float32."""

    def __init__(self, path: Path) -> None:
        self._encoder = load_encoder(path)
        #: S of the views that the encoder was trained on; other sizes are resized to it.
        self.size = int(self._encoder.views.config.size)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Embeddings of images; they are rounded to the 256 levels that the encoder was trained on."""
        pixels = torch.from_numpy(np.asarray(images, dtype=np.float32)).clamp(0, 1).mul(255).round().to(torch.uint8)
        embeddings: np.ndarray = self._encoder(pixels).float().numpy()
        return embeddings


def _load_pyfunc(path: str) -> Served:
    return Served(Path(path))
