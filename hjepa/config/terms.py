"""The objective's terms on pooled embeddings; each is absent at weight 0.

`view` is the mean of the student's tokens of a whole view, which takes a pass of its own; `context` the mean
of its context tokens; `prediction` the mean of the finest level's predictions. Where `projector.layers` is
above 0, every term sees them through the projector.
"""

from typing import Annotated, Literal

from pydantic import Field

from hjepa.config.fields import POSITIVE, Section, knob

NonNegative = Annotated[float, Field(ge=0.0)]
Above = Annotated[float, Field(gt=0.0)]
Pooled = Literal["view", "context", "prediction"]

VICREG = {"objective.vicreg.weight": POSITIVE}
CJEPA = {"objective.cjepa.weight": POSITIVE}
NTXENT = {"objective.ntxent.weight": POSITIVE}
SIGREG = {"objective.sigreg.weight": POSITIVE}
INVARIANCE = {"objective.invariance.weight": POSITIVE}


class VICRegConfig(Section):
    """VICReg: variance and covariance over the batch, and the invariance of two global views."""

    weight: NonNegative = knob(
        0.0,
        "Weight of VICReg.",
        effect="training",
        flip=0.1,
        source="VICReg (arXiv 2105.04906), code",
        proof="tests/objectives/test_vicreg.py::test_reference_values",
        title="VICReg",
    )
    on: Pooled = knob(
        "view",
        "Embedding that VICReg acts on.",
        effect="training",
        flip="context",
        when=VICREG,
        proof="tests/objectives/test_terms.py::test_a_term_sees_what_it_acts_on",
    )
    inv: NonNegative = knob(
        25.0,
        "Weight inside VICReg of the squared difference of the two global views.",
        effect="training",
        flip=5.0,
        when={**VICREG, "views.globals": [2]},
    )
    std: NonNegative = knob(
        25.0,
        "Weight inside VICReg of the standard deviations that fall short of gamma.",
        effect="training",
        flip=5.0,
        when=VICREG,
        proof="tests/objectives/test_vicreg.py::test_a_collapsed_batch_and_a_decorrelated_one",
    )
    cov: NonNegative = knob(
        1.0,
        "Weight inside VICReg of the covariances of different dimensions.",
        effect="training",
        flip=5.0,
        when=VICREG,
    )
    gamma: Above = knob(
        1.0,
        "Standard deviation that VICReg asks of every dimension.",
        effect="training",
        flip=2.0,
        when={**VICREG, "objective.vicreg.std": POSITIVE},
        proof="tests/objectives/test_vicreg.py::test_a_collapsed_batch_and_a_decorrelated_one",
    )
    cov_reduction: Literal["sum", "mean"] = knob(
        "sum",
        "sum: squared covariances over the width, the official code; mean: over their number.",
        effect="training",
        flip="mean",
        when={**VICREG, "objective.vicreg.cov": POSITIVE},
        source="VICReg code; eb_jepa code for mean",
        proof="tests/objectives/test_vicreg.py::test_the_mean_of_covariances_is_the_sum_over_the_other_dimensions",
    )


class CJEPAConfig(Section):
    """C-JEPA (Mo and Tong): VICReg's three terms beside the prediction."""

    weight: NonNegative = knob(
        0.0,
        "Weight of C-JEPA.",
        effect="training",
        flip=1e-3,
        source="C-JEPA (arXiv 2410.19560): 0.001",
        proof="tests/objectives/test_cjepa.py::test_pairs_of_blocks_are_averaged",
        title="C-JEPA",
    )
    on: Literal["context_mean", "predicted_block_pairs", "two_views"] = knob(
        "context_mean",
        "context_mean: std and cov of the mean context token, sim of the mean prediction and the mean target; "
        "predicted_block_pairs: all three on pairs of mean predictions of target blocks; "
        "two_views: all three on the mean context tokens of two global views.",
        effect="training",
        flip="predicted_block_pairs",
        when=CJEPA,
        source="C-JEPA (arXiv 2410.19560), whose readers differ",
        proof="tests/objectives/test_terms.py::test_a_term_sees_what_it_acts_on",
        title="C-JEPA: where its terms act",
    )
    sim: NonNegative = knob(
        25.0, "Weight inside C-JEPA of the squared difference.", effect="training", flip=5.0, when=CJEPA
    )
    std: NonNegative = knob(
        25.0,
        "Weight inside C-JEPA of the standard deviations that fall short of 1.",
        effect="training",
        flip=5.0,
        when=CJEPA,
    )
    cov: NonNegative = knob(
        1.0, "Weight inside C-JEPA of the covariances of different dimensions.", effect="training", flip=5.0, when=CJEPA
    )


class NTXentConfig(Section):
    """NT-Xent between the two global views."""

    weight: NonNegative = knob(
        0.0,
        "Weight of NT-Xent; needs two global views.",
        effect="training",
        flip=0.1,
        together={"views.globals": 2},
        source="SimCLR (arXiv 2002.05709), equation 1",
        proof="tests/objectives/test_ntxent.py::test_reference_values",
        title="NT-Xent",
    )
    on: Pooled = knob(
        "view",
        "Embedding that NT-Xent acts on.",
        effect="training",
        flip="context",
        when=NTXENT,
        proof="tests/objectives/test_terms.py::test_a_term_sees_what_it_acts_on",
    )
    temperature: Above = knob(
        0.1,
        "Similarities are divided by it.",
        effect="training",
        flip=0.5,
        when=NTXENT,
        proof="tests/objectives/test_ntxent.py::test_reference_values",
    )


class SIGRegConfig(Section):
    """SIGReg: embeddings as a standard Gaussian, tested along random directions."""

    weight: NonNegative = knob(
        0.0,
        "Weight of SIGReg.",
        effect="training",
        flip=0.05,
        source="LeJEPA (arXiv 2511.08544), code",
        proof="tests/objectives/test_sigreg.py::test_reference_values",
        title="SIGReg (LeJEPA)",
    )
    on: Pooled = knob(
        "view",
        "Embedding that SIGReg acts on.",
        effect="training",
        flip="context",
        when=SIGREG,
        proof="tests/objectives/test_terms.py::test_a_term_sees_what_it_acts_on",
    )
    slices: Annotated[int, Field(ge=1)] = knob(
        256,
        "Random directions, drawn anew at each step.",
        effect="training",
        flip=64,
        when=SIGREG,
        proof="tests/objectives/test_sigreg.py::test_directions_are_unit_vectors_of_their_step",
    )
    points: Annotated[int, Field(ge=2)] = knob(
        17,
        "Points of the integral over the characteristic function.",
        effect="training",
        flip=9,
        when=SIGREG,
        proof="tests/objectives/test_sigreg.py::test_without_n_it_is_the_nth_part_and_points_and_reach_matter",
    )
    t_max: Above = knob(
        3.0,
        "Where the integral ends.",
        effect="training",
        flip=5.0,
        when=SIGREG,
        proof="tests/objectives/test_sigreg.py::test_without_n_it_is_the_nth_part_and_points_and_reach_matter",
    )
    scale_by_n: bool = knob(
        True,
        "Times the number of samples, as the official code does.",
        effect="training",
        flip=False,
        when=SIGREG,
        proof="tests/objectives/test_sigreg.py::test_without_n_it_is_the_nth_part_and_points_and_reach_matter",
    )


class InvarianceConfig(Section):
    """Every view of an image agrees with the mean of its global views (LeJEPA's prediction term)."""

    weight: NonNegative = knob(
        0.0,
        "Weight of the views' squared distance to the mean of the global views.",
        effect="training",
        flip=1.0,
        together={"views.globals": 2},
        source="LeJEPA (arXiv 2511.08544), code",
        proof="tests/objectives/test_invariance.py::test_distance_to_the_mean_of_the_global_views",
        title="invariance of views (LeJEPA)",
    )
    on: Pooled = knob(
        "view",
        "Embedding of which the views agree.",
        effect="training",
        flip="context",
        when=INVARIANCE,
        proof="tests/objectives/test_terms.py::test_a_term_sees_what_it_acts_on",
    )


class ProjectorConfig(Section):
    """The map through which all these terms see the embeddings."""

    layers: Annotated[int, Field(ge=0, le=4)] = knob(
        0,
        "Linear maps of the projector, with norm and ReLU between them; 0: the terms see the embeddings themselves.",
        effect="training",
        flip=2,
        together={"objective.sigreg.weight": 0.05},
        source="SimCLR (arXiv 2002.05709), section 4.2; VICReg code: 3",
        proof="tests/models/test_projector.py::test_its_parameters_are_the_maps_and_norms",
        title="projector",
    )
    hidden: Annotated[int, Field(ge=2)] = knob(
        512, "Width between the maps.", effect="training", flip=64, when={"objective.projector.layers": [2, 3, 4]}
    )
    width: Annotated[int, Field(ge=2)] = knob(
        128, "Width of the projection.", effect="training", flip=32, when={"objective.projector.layers": POSITIVE}
    )
    norm: Literal["batch", "layer", "none"] = knob(
        "batch",
        "Norm between the maps; batch takes its statistics over all workers.",
        effect="training",
        flip="layer",
        when={"objective.projector.layers": [2, 3, 4]},
        proof="tests/models/test_projector.py::test_batch_norm_sees_the_rows_of_all_views",
    )
