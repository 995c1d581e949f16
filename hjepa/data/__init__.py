"""Real images: data sets, cache, hold-out, and the views of an image."""

from hjepa.data.boxes import places
from hjepa.data.dataset import Dataset, ImageSource, absolute, fingerprint, open_dataset
from hjepa.data.parameters import ViewParameters
from hjepa.data.views import Views

__all__ = [
    "Dataset",
    "ImageSource",
    "ViewParameters",
    "Views",
    "absolute",
    "fingerprint",
    "open_dataset",
    "places",
]
