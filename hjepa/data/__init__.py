"""Real images: data sets, cache, hold-out, and the views of an image."""

from hjepa.data.boxes import places
from hjepa.data.dataset import Dataset, absolute, fingerprint, open_dataset
from hjepa.data.images import ImageSource
from hjepa.data.mixing import Mixing, draw_mixing, mix_images, mix_labels
from hjepa.data.parameters import ViewParameters
from hjepa.data.views import Views

__all__ = [
    "Dataset",
    "ImageSource",
    "Mixing",
    "ViewParameters",
    "Views",
    "absolute",
    "draw_mixing",
    "fingerprint",
    "mix_images",
    "mix_labels",
    "open_dataset",
    "places",
]
