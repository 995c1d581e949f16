"""The weights of the data sets of a mixture."""

from typing import Annotated, ClassVar

from pydantic import Field

from hjepa.config.fields import Section, knob

Weight = Annotated[float, Field(ge=0.0)]


class MixtureConfig(Section):
    """How often the images of each data set come: two weights or more above 0, in any unit."""

    live: ClassVar = {"data.dataset": ["mixture"]}

    digits: Weight = knob(
        0.0,
        "Weight of digits.",
        effect="training",
        flip=1.0,
        together={"data.image_size": 16, "data.mixture.cifar10": 1.0, "data.mixture.cifar100": 1.0},
        source="this project's own: quotas by largest remainders",
        proof="tests/data/test_mixture.py::test_folders_and_downloads_are_those_of_the_parts",
        title="weighted mixture: digits",
    )
    cifar10: Weight = knob(
        0.0,
        "Weight of CIFAR-10.",
        effect="training",
        flip=2.0,
        together={"data.image_size": 16, "data.mixture.digits": 1.0, "data.mixture.cifar100": 1.0},
        source="this project's own: quotas by largest remainders",
        proof="tests/data/test_mixture.py::test_the_roadmap_s_epoch_is_exact",
        title="weighted mixture: CIFAR-10",
    )
    cifar100: Weight = knob(
        0.0,
        "Weight of CIFAR-100.",
        effect="training",
        flip=2.0,
        together={"data.image_size": 16, "data.mixture.digits": 1.0, "data.mixture.cifar10": 1.0},
        source="this project's own: quotas by largest remainders",
        proof="tests/data/test_mixture.py::test_the_roadmap_s_epoch_is_exact",
        title="weighted mixture: CIFAR-100",
    )
    stl10: Weight = knob(
        0.0,
        "Weight of STL-10.",
        effect="training",
        flip=1.0,
        together={"data.image_size": 16, "data.mixture.digits": 1.0, "data.mixture.cifar10": 1.0},
        source="this project's own: quotas by largest remainders",
        proof="tests/data/test_mixture.py::test_the_roadmap_s_epoch_is_exact",
        title="weighted mixture: STL-10",
    )
    imagefolder: Weight = knob(
        0.0,
        "Weight of the image folder data.folder.",
        effect="training",
        flip=1.0,
        together={
            "data.image_size": 16,
            "data.folder": "shapes",
            "data.mixture.digits": 1.0,
            "data.mixture.cifar10": 1.0,
        },
        source="this project's own: quotas by largest remainders",
        proof="tests/data/test_mixture.py::test_folders_and_downloads_are_those_of_the_parts",
        title="weighted mixture: image folder",
    )
    imagenet100: Weight = knob(
        0.0,
        "Weight of the classes data.classes of the image folder data.folder.",
        effect="training",
        flip=1.0,
        together={
            "data.image_size": 16,
            "data.folder": "shapes",
            "data.classes": "classes.txt",
            "data.mixture.digits": 1.0,
            "data.mixture.cifar10": 1.0,
        },
        source="this project's own: quotas by largest remainders",
        proof="tests/data/test_mixture.py::test_every_epoch_and_every_stretch_of_it_has_the_proportions[0]",
        title="weighted mixture: ImageNet-100",
    )

    def weights(self) -> dict[str, float]:
        """The data sets with a weight above 0, in the schema's order."""
        return {name: weight for name, weight in vars(self).items() if weight > 0}
