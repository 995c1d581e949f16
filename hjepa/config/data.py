"""Which images a run sees, where they lie, and how they are views of themselves."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hjepa.config.fields import POSITIVE, PREDICTS, Section, knob
from hjepa.config.mixture import MixtureConfig

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class DataConfig(Section):
    """The data set, its hold-out, and how it is read."""

    dataset: Literal["digits", "cifar10", "cifar100", "stl10", "imagefolder", "imagenet100", "mixture"] = knob(
        "digits",
        "The data set. digits comes with scikit-learn and needs no files; imagenet100: some classes of a folder; "
        "mixture: several data sets in the proportions of data.mixture.",
        effect="training",
        flip="imagefolder",
        together={"data.folder": "shapes", "data.image_size": 16},
        title="data set",
    )
    folder: str | None = knob(
        None,
        "Folder under the data root that holds train/ and val/, one folder per class in each.",
        effect="training",
        flip="shapes_b",
        when={"data.dataset": ["imagefolder", "imagenet100", "mixture"]},
        together={"data.image_size": 16},
    )
    classes: str | None = knob(
        None,
        "Text file under the data root with the names of the classes to keep, one a line; "
        "null keeps the hundred of ImageNet-100.",
        effect="training",
        flip="classes.txt",
        when={"data.dataset": ["imagenet100", "mixture"]},
        together={"data.folder": "shapes", "data.image_size": 16},
        source="Contrastive Multiview Coding (arXiv 1906.05849) for the list",
        proof="tests/data/test_listing.py::test_a_million_names_are_cut_down_within_a_second",
        title="ImageNet-100: class subset",
    )
    mixture: MixtureConfig = MixtureConfig()
    epoch_images: Annotated[int, Field(ge=2)] | None = knob(
        None,
        "Images of an epoch of a mixture, over all its data sets; null takes as many as they hold together.",
        effect="training",
        flip=96,
        when={"data.dataset": ["mixture"]},
        proof="tests/data/test_mixture.py::test_the_length_of_an_epoch",
    )
    probe: Literal["digits", "cifar10", "cifar100", "stl10", "imagefolder", "imagenet100"] | None = knob(
        None,
        "The data set of a mixture that all scores are of; null takes the one with the largest weight.",
        effect="evaluation",
        flip="cifar100",
        when={"data.dataset": ["mixture"]},
        proof="tests/data/test_mixture.py::test_pretraining_sees_no_labels_and_the_probe_those_of_its_data_set",
    )
    stl10: Literal["labelled", "unlabelled", "both"] = knob(
        "both",
        "Which STL-10 images pretraining sees; probes always use the labelled ones.",
        effect="training",
        flip="labelled",
        when={"data.dataset": ["stl10", "mixture"]},
    )
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = knob(
        None,
        "Side in pixels at which images are stored after decoding; null keeps the native size. "
        "The data sets of a mixture share one.",
        effect="training",
        flip=12,
        title="common size of stored images",
    )
    train_size: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Train on a stratified prefix of this many images (of each part of a mixture), after the hold-out is taken; "
        "null takes all.",
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
        when={"data.dataset": ["cifar10", "cifar100", "stl10", "imagefolder", "imagenet100", "mixture"]},
    )
    download: bool = knob(
        False,
        "Let torchvision download the data set into the root when it is missing.",
        effect="runtime_exact",
        flip=True,
        when={"data.dataset": ["cifar10", "cifar100", "stl10", "mixture"]},
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
        "Decoding processes of each data set that streams.",
        effect="runtime_exact",
        flip=0,
        when={"data.loading": ["auto", "stream"]},
    )

    @property
    def shares(self) -> dict[str, float]:
        """Each data set's share of a mixture's epoch, adding up to 1; empty when this is no mixture."""
        weights = self.mixture.weights() if self.dataset == "mixture" else {}
        return {name: round(weight / sum(weights.values()), 12) for name, weight in weights.items()}

    @property
    def probed(self) -> str:
        """The data set that scores are of."""
        shares = self.shares
        return self.probe or (max(shares, key=lambda name: shares[name]) if shares else self.dataset)

    def part(self, name: str) -> "DataConfig":
        """One data set of the mixture, read in the same way."""
        return self.model_copy(update={"dataset": name})

    @model_validator(mode="after")
    def _combinations(self) -> "DataConfig":
        parts = set(self.shares) or {self.dataset}
        if self.dataset == "mixture":
            self._refuse_mixture(parts)
        if parts & {"imagefolder", "imagenet100"} and (self.folder is None or self.image_size is None):
            name = "folder" if self.folder is None else "image_size"
            which = "imagefolder" if "imagefolder" in parts else "imagenet100"
            raise ValueError(f"{name}: got null; data.dataset {which} needs it")
        return self

    def _refuse_mixture(self, parts: set[str]) -> None:
        """Raise ValueError for a mixture of one, or for a setting that none of its parts reads."""
        if len(parts - {"mixture"}) < 2:
            raise ValueError("dataset: got mixture; allowed with at least two of data.mixture above 0")
        if self.image_size is None:
            raise ValueError("image_size: got null; data.dataset mixture needs it, as its images share one size")
        if self.probe is not None and self.probe not in parts:
            raise ValueError(f"probe: got {self.probe}; allowed {', '.join(sorted(parts))}")
        if {"imagefolder", "imagenet100"} <= parts:
            raise ValueError(
                "mixture.imagenet100: got a weight beside imagefolder; allowed one of them, as both read data.folder"
            )
        readers = {
            "folder": {"imagefolder", "imagenet100"},
            "classes": {"imagenet100"},
            "stl10": {"stl10"},
            "download": {"cifar10", "cifar100", "stl10"},
        }
        for name, of in readers.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default and not parts & of:
                allowed = " or ".join(sorted(of))
                raise ValueError(f"{name}: got {str(value).lower()}; allowed only with {allowed} in data.mixture")


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
        title="crop",
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
        1,
        "Global views of each image, drawn independently.",
        effect="training",
        flip=2,
        source="SimCLR (2002.05709)",
        title="global views",
    )
    locals: Annotated[int, Field(ge=0, le=8)] = knob(
        0,
        "Small crops of each image besides the global views (multi-crop); only the student sees them.",
        effect="training",
        flip=2,
        source="SwAV (arXiv 2006.09882); DINO (arXiv 2104.14294)",
        title="multi-crop: small crops",
    )
    local_mode: Literal["context", "embedding"] = knob(
        "context",
        "context: its tokens predict the first global view's cells around it; "
        "embedding: a further view for the terms that compare views.",
        effect="training",
        flip="embedding",
        when={"views.locals": POSITIVE},
        together={"views.globals": 2, "objective.invariance.weight": 1.0},
        title="multi-crop: invariance or local context",
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
    augmentation: Literal["none", "three_augment", "randaugment"] = knob(
        "none",
        "three_augment: one of grayscale, solarise, blur per image, then colour jitter; "
        "randaugment: random operations of fourteen, some of which move the pixels.",
        effect="training",
        flip="three_augment",
        source="DeiT III (arXiv 2204.07118), section 3.2; RandAugment (arXiv 1909.13719)",
        title="augmentation: 3-Augment, RandAugment",
    )
    color_jitter: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.3,
        "Strength of brightness, contrast and saturation jitter after 3-Augment.",
        effect="training",
        flip=0.6,
        when={"views.augmentation": ["three_augment"]},
    )
    randaugment_ops: Annotated[int, Field(ge=1, le=14)] = knob(
        2,
        "Operations of RandAugment on each image, one after the other.",
        effect="training",
        flip=1,
        when={"views.augmentation": ["randaugment"]},
        source="RandAugment (arXiv 1909.13719)",
        proof="tests/data/test_randaugment.py::test_operations_come_evenly_in_both_directions",
    )
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = knob(
        9,
        "Strength of RandAugment's operations, of 30.",
        effect="training",
        flip=20,
        when={"views.augmentation": ["randaugment"]},
        source="RandAugment (arXiv 1909.13719)",
        proof="tests/data/test_randaugment.py::test_the_operations_are_torchvision_s",
    )
    erasing: Fraction = knob(
        0.0,
        "Probability that a random box (2 to 33 % of the view) is grey to the student; the target sees it.",
        effect="training",
        flip=0.5,
        when=PREDICTS,
        source="Random Erasing (arXiv 1708.04896), on the context alone",
        proof="tests/data/test_corruption.py::test_erasing_greys_one_box_in_its_share_of_the_images",
        title="random erasing of the context",
    )
    noise: Annotated[float, Field(ge=0.0, le=10.0)] = knob(
        0.0,
        "Standard deviation of Gaussian pixel noise that only the student sees, in units of the normalised view.",
        effect="training",
        flip=0.5,
        when=PREDICTS,
        source="denoising autoencoders (Vincent et al. 2008), on the context alone",
        proof="tests/data/test_corruption.py::test_noise_is_standard_normal_and_independent",
        title="photometric noise on the context",
    )
    mixup: Annotated[float, Field(ge=0.0, le=10.0)] = knob(
        0.0,
        "Each pair of images of a batch blended, in shares drawn from Beta(mixup, mixup); 0 is off.",
        effect="training",
        flip=0.8,
        when={"objective.supervised.weight": POSITIVE},
        source="mixup (arXiv 1710.09412)",
        proof="tests/training/test_mixing_in_runs.py::test_the_loss_is_that_of_the_mixed_batch[mixup]",
        title="Mixup",
    )
    cutmix: Annotated[float, Field(ge=0.0, le=10.0)] = knob(
        0.0,
        "A box of each image's partner pasted in, its area drawn from Beta(cutmix, cutmix); 0 is off. "
        "Beside mixup each takes half of the steps.",
        effect="training",
        flip=1.0,
        when={"objective.supervised.weight": POSITIVE},
        source="CutMix (arXiv 1905.04899)",
        proof="tests/training/test_mixing_in_runs.py::test_the_loss_is_that_of_the_mixed_batch[cutmix]",
        title="CutMix",
    )

    @property
    def small(self) -> "ViewsConfig":
        """The views of small crops: of their size and scale, and without corruption."""
        own = {"size": self.local_size, "crop": "random_resized", "crop_scale": self.local_scale}
        return self.model_copy(update={**own, "erasing": 0.0, "noise": 0.0})

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in pairs."""
        return self.mixup > 0 or self.cutmix > 0

    @model_validator(mode="after")
    def _ranges(self) -> "ViewsConfig":
        for name in ("crop_scale", "crop_ratio", "local_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: got [{low}, {high}]; allowed 0 < low <= high")
        if self.augmentation == "randaugment" and self.locals and self.local_mode == "context":
            raise ValueError(
                "augmentation: got randaugment, which moves pixels; allowed none, three_augment "
                "with views.local_mode context, which needs to know where a small crop lies"
            )
        return self
