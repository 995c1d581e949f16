"""Which images a run sees, where they lie, and how they are views of themselves."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hjepa.config.fields import POSITIVE, Section, knob

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class DataConfig(Section):
    """The data set, its hold-out, and how it is read."""

    dataset: Literal["digits", "cifar10", "cifar100", "stl10", "imagefolder"] = knob(
        "digits",
        "The data set. digits comes with scikit-learn and needs no files.",
        effect="training",
        flip="imagefolder",
        together={"data.folder": "shapes", "data.image_size": 16},
    )
    folder: str | None = knob(
        None,
        "Folder under the data root that holds train/ and val/, one folder per class in each.",
        effect="training",
        flip="shapes_b",
        when={"data.dataset": ["imagefolder"]},
        together={"data.image_size": 16},
    )
    stl10: Literal["labelled", "unlabelled", "both"] = knob(
        "both",
        "Which STL-10 images pretraining sees; probes always use the labelled ones.",
        effect="training",
        flip="labelled",
        when={"data.dataset": ["stl10"]},
    )
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = knob(
        None,
        "Side in pixels at which images are stored after decoding; null keeps the native size.",
        effect="training",
        flip=12,
    )
    train_size: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Train on a stratified prefix of this many images, after the hold-out is taken; null takes all.",
        effect="training",
        flip=96,
    )
    holdout: Annotated[float, Field(gt=0.0, lt=0.9)] = knob(
        0.1, "Share of the training split that is held out, stratified, for selection.", effect="training", flip=0.2
    )
    split_seed: Annotated[int, Field(ge=0)] = knob(
        0, "Seed of the hold-out; independent of the trial's seed.", effect="training", flip=1
    )
    root: str | None = knob(
        None,
        "Where the data sets lie; null reads HJEPA_DATA. May be read-only.",
        effect="runtime_exact",
        flip="elsewhere",
        when={"data.dataset": ["cifar10", "cifar100", "stl10", "imagefolder"]},
    )
    download: bool = knob(
        False,
        "Let torchvision download the data set into the root when it is missing.",
        effect="runtime_exact",
        flip=True,
        when={"data.dataset": ["cifar10", "cifar100", "stl10"]},
    )
    loading: Literal["auto", "cache", "stream"] = knob(
        "auto",
        "cache: decoded once, memory-mapped; stream: decoded by workers each epoch; auto: cache below 4 GiB.",
        effect="runtime_exact",
        flip="stream",
    )
    cache: str | None = knob(
        None,
        "Folder of decoded data sets; null reads HJEPA_CACHE, else the user's cache folder.",
        effect="runtime_exact",
        flip="cache_elsewhere",
        when={"data.loading": ["auto", "cache"]},
    )
    workers: Annotated[int, Field(ge=0, le=256)] = knob(
        2,
        "Decoding processes of the streaming loader.",
        effect="runtime_exact",
        flip=0,
        when={"data.loading": ["auto", "stream"]},
    )


class ViewsConfig(Section):
    """How an image becomes the view that context and target share."""

    size: Annotated[int, Field(ge=8, le=1024)] = knob(
        32, "Side in pixels of what the encoder sees.", effect="training", flip=40
    )
    crop: Literal["random_resized", "simple", "none"] = knob(
        "random_resized",
        "random_resized: random area and aspect; simple: resize, pad 4 by reflection, random position.",
        effect="training",
        flip="simple",
        source="I-JEPA (arXiv 2301.08243); DeiT III (arXiv 2204.07118) for Simple Random Crop",
    )
    crop_scale: tuple[Fraction, Fraction] = knob(
        (0.3, 1.0),
        "Range of the crop's share of the image area.",
        effect="training",
        flip=[0.8, 1.0],
        when={"views.crop": ["random_resized"]},
    )
    crop_ratio: tuple[Positive, Positive] = knob(
        (0.75, 4.0 / 3.0),
        "Range of the crop's aspect ratio (width over height).",
        effect="training",
        flip=[1.0, 1.0],
        when={"views.crop": ["random_resized"]},
    )
    flip: Fraction = knob(0.5, "Probability of a horizontal flip.", effect="training", flip=0.0)
    globals: Annotated[int, Field(ge=1, le=2)] = knob(
        1, "Global views of each image, drawn independently.", effect="training", flip=2, source="SimCLR (2002.05709)"
    )
    locals: Annotated[int, Field(ge=0, le=8)] = knob(
        0,
        "Small crops of each image besides the global views (multi-crop); only the student sees them.",
        effect="training",
        flip=2,
        together={"views.local_mode": "context"},
        source="SwAV (arXiv 2006.09882); DINO (arXiv 2104.14294)",
    )
    local_mode: Literal["embedding", "context"] = knob(
        "embedding",
        "embedding: a further view for the terms that compare views; "
        "context: its tokens predict the first global view's cells around it.",
        effect="training",
        flip="context",
        when={"views.locals": POSITIVE},
    )
    local_size: Annotated[int, Field(ge=4, le=512)] = knob(
        16,
        "Side in pixels of a small crop.",
        effect="training",
        flip=8,
        when={"views.locals": POSITIVE},
    )
    local_scale: tuple[Fraction, Fraction] = knob(
        (0.1, 0.4),
        "Range of a small crop's share of the image area.",
        effect="training",
        flip=[0.05, 0.2],
        when={"views.locals": POSITIVE},
        source="DINO code: (0.05, 0.4)",
    )
    augmentation: Literal["none", "three_augment"] = knob(
        "none",
        "three_augment: one of grayscale, solarise, blur per image, then colour jitter.",
        effect="training",
        flip="three_augment",
        source="DeiT III (arXiv 2204.07118), section 3.2",
    )
    color_jitter: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.3,
        "Strength of brightness, contrast and saturation jitter after 3-Augment.",
        effect="training",
        flip=0.6,
        when={"views.augmentation": ["three_augment"]},
    )

    @model_validator(mode="after")
    def _ranges(self) -> "ViewsConfig":
        for name in ("crop_scale", "crop_ratio", "local_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: got [{low}, {high}]; allowed 0 < low <= high")
        return self
