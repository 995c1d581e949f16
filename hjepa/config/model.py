"""Masks, encoder and predictor."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from hjepa.config.data import Fraction, Positive
from hjepa.config.fields import PREDICTS, Section, knob

#: width, depth, heads (I-JEPA's `vision_transformer.py`; micro is this project's own, for tests and digits).
SIZES: dict[str, tuple[int, int, int]] = {
    "micro": (64, 3, 2),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
#: Kinds of rotary positions and the base of their frequencies when `model.rope_theta` is null.
ROPE_THETA = {"axial": 100.0, "mixed": 10.0, "dinov3": 100.0}
BLOCKS = ["multiblock", "block"]


class MasksConfig(Section):
    """Which tokens are context and which are predicted."""

    live: ClassVar = PREDICTS

    strategy: Literal["multiblock", "block", "random", "raster"] = knob(
        "multiblock",
        "multiblock: several target blocks; block: one; random: scattered tokens; raster: three of four quadrants.",
        effect="training",
        flip="random",
        source="I-JEPA (arXiv 2301.08243), section 3 and Table 6",
        title="masking strategy",
    )
    num_targets: Annotated[int, Field(ge=1, le=16)] = knob(
        4, "Target blocks per image.", effect="training", flip=2, when={"masks.strategy": ["multiblock"]}
    )
    target_scale: tuple[Fraction, Fraction] = knob(
        (0.15, 0.2),
        "Range of a target block's share of the grid.",
        effect="training",
        flip=[0.08, 0.1],
        when={"masks.strategy": BLOCKS},
    )
    target_aspect: tuple[Positive, Positive] = knob(
        (0.75, 1.5),
        "Range of a target block's aspect ratio (height over width).",
        effect="training",
        flip=[3.0, 4.0],
        when={"masks.strategy": BLOCKS},
    )
    target_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = knob(
        0.6,
        "Share of tokens that are targets.",
        effect="training",
        flip=0.4,
        when={"masks.strategy": ["random"]},
    )
    context_scale: tuple[Fraction, Fraction] = knob(
        (0.85, 1.0),
        "Range of the context block's share of the grid, before target cells are taken out.",
        effect="training",
        flip=[0.6, 0.6],
        when={"masks.strategy": ["multiblock"]},
    )
    context_tokens: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Context tokens kept per image, a random subset; null keeps 5/16 of the grid (20 of 64). "
        "Counted at model.patch_size; other patch sizes keep the same share.",
        effect="training",
        flip=12,
    )

    @model_validator(mode="after")
    def _ranges(self) -> "MasksConfig":
        for name in ("target_scale", "target_aspect", "context_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: got [{low}, {high}]; allowed 0 < low <= high")
        return self


class ModelConfig(Section):
    """The ViT encoder (student and EMA target share its shape)."""

    size: Literal["micro", "tiny", "small", "base", "large", "huge"] | None = knob(
        "tiny",
        "A named width, depth and number of heads; null to give the three by hand.",
        effect="training",
        flip="micro",
    )
    width: Annotated[int, Field(ge=8)] | None = knob(
        None,
        "Token width, when size is null.",
        effect="training",
        flip=32,
        when={"model.size": [None]},
        together={"model.depth": 2, "model.heads": 2},
    )
    depth: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Transformer blocks, when size is null.",
        effect="training",
        flip=1,
        when={"model.size": [None]},
        together={"model.width": 64, "model.heads": 2},
    )
    heads: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Attention heads, when size is null.",
        effect="training",
        flip=4,
        when={"model.size": [None]},
        together={"model.width": 64, "model.depth": 2},
    )
    mlp_ratio: Annotated[float, Field(gt=0.0, le=16.0)] = knob(
        4.0, "Hidden width of a block's MLP over the token width.", effect="training", flip=2.0
    )
    patch_size: Annotated[int, Field(ge=1)] = knob(4, "Side of a patch in pixels.", effect="training", flip=8)
    patch_sizes: tuple[Annotated[int, Field(ge=1)], ...] | None = knob(
        None,
        "Patch sizes, one drawn for each step, whose kernels are resized from that of patch_size; "
        "null trains at patch_size alone. Evaluation is at patch_size.",
        effect="training",
        flip=[4, 8],
        source="FlexiViT (arXiv 2212.08013)",
        proof="tests/training/test_patch_sizes.py::test_everything_of_a_step_follows_its_grid[8]",
        title="FlexiViT: patch size per step",
    )
    positions: Literal["sincos", "learned", "none"] = knob(
        "sincos",
        "Absolute position embedding of the encoder, added before masking; the predictor's is sine-cosine, or none.",
        effect="training",
        flip="learned",
        source="I-JEPA code, `get_2d_sincos_pos_embed`",
        proof="tests/models/test_rope.py::test_without_any_position_the_order_of_patches_is_lost",
        title="absolute positions",
    )
    rope: Literal["none", "axial", "mixed", "dinov3"] = knob(
        "none",
        "Rotary positions in encoder and predictor, beside the absolute ones or alone; mixed learns its frequencies.",
        effect="training",
        flip="axial",
        source="RoPE-ViT (arXiv 2403.13298) for axial and mixed; DINOv3 (arXiv 2508.10104)",
        proof="tests/models/test_rope.py::test_axial_is_rope_vit",
        title="rotary positions (RoPE)",
    )
    rope_theta: Annotated[float, Field(gt=1.0)] | None = knob(
        None,
        "Base of the rotary frequencies; null takes 100, or 10 for mixed.",
        effect="training",
        flip=20.0,
        when={"model.rope": list(ROPE_THETA)},
        source="RoPE-ViT code (100; 10 for mixed); DINOv3 code (100)",
        proof="tests/models/test_rope.py::test_mixed_angles_are_the_sum_over_both_axes_and_heads_differ",
        title="RoPE: base",
    )
    init: Literal["xavier", "trunc_normal"] = knob(
        "xavier",
        "xavier: linear weights by fan-in and fan-out; trunc_normal: all with standard deviation 0.02.",
        effect="training",
        flip="trunc_normal",
        source="MAE code (xavier); I-JEPA code (trunc_normal, which leaves small patches to the positions)",
    )
    depth_rescale: bool = knob(
        False,
        "Divide the initial output weights of attention and MLP in block l, of encoder and predictors, by sqrt(2 l).",
        effect="training",
        flip=True,
        source="BEiT and I-JEPA code, `fix_init_weight` (which I-JEPA's own training draws anew)",
        proof="tests/models/test_depth_rescale.py::test_block_l_is_divided_by_the_root_of_2l",
        title="depth-rescaled initialisation",
    )
    layer_scale: Annotated[float, Field(ge=0.0, le=1.0)] | None = knob(
        None,
        "Initial value of the learned per-channel scale on each residual branch; null has no scale.",
        effect="training",
        flip=1e-4,
        source="CaiT (arXiv 2103.17239), equation 6",
        title="LayerScale",
    )
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.0,
        "Stochastic depth rate of the last block (linear from 0), student only.",
        effect="training",
        flip=0.5,
        source="Huang et al. 2016 (arXiv 1603.09382)",
        title="stochastic depth",
    )

    @model_validator(mode="after")
    def _shape(self) -> "ModelConfig":
        given = [self.width, self.depth, self.heads]
        if self.size is None and None in given:
            raise ValueError("size: got null; then width, depth and heads must all be given")
        width, _, heads = self.shape
        if width % heads:
            raise ValueError(f"heads: got {heads}; allowed divisors of the width {width}")
        if width % 4:
            raise ValueError(f"width: got {width}; allowed multiples of 4")
        return self

    @model_validator(mode="after")
    def _places(self) -> "ModelConfig":
        if self.positions == "none" and self.rope == "none":
            raise ValueError(
                "positions: got none; allowed sincos, learned, or a model.rope besides (else patches have no order)"
            )
        width, _, heads = self.shape
        if self.rope != "none" and width // heads % 4:
            raise ValueError(f"rope: got {self.rope}; allowed where width / heads = {width // heads} is divisible by 4")
        sizes = self.patch_sizes
        if sizes is not None and (len(sizes) < 2 or list(sizes) != sorted(set(sizes))):
            raise ValueError(f"patch_sizes: got {list(sizes)}; allowed null or two or more, each larger than the last")
        return self

    @property
    def theta(self) -> float:
        """Base of the rotary frequencies."""
        return self.rope_theta or ROPE_THETA[self.rope]

    @property
    def training_patches(self) -> tuple[int, ...]:
        """The patch sizes that a step may have."""
        return self.patch_sizes or (self.patch_size,)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Width, depth and heads."""
        if self.size is not None:
            return SIZES[self.size]
        assert self.width is not None and self.depth is not None and self.heads is not None
        return self.width, self.depth, self.heads


class PredictorConfig(Section):
    """The predictor of each level."""

    live: ClassVar = PREDICTS

    width: Annotated[int, Field(ge=8)] = knob(96, "Token width.", effect="training", flip=48)
    depth: Annotated[int, Field(ge=1)] = knob(4, "Transformer blocks.", effect="training", flip=1)
    heads: Annotated[int, Field(ge=1)] = knob(3, "Attention heads.", effect="training", flip=2)
    blocks: Literal["independent", "joint"] = knob(
        "independent",
        "Predict the level-0 target blocks one by one (I-JEPA) or all in one sequence.",
        effect="training",
        flip="joint",
        when={"hierarchy.predictor": ["per_level", "shared"]},
        source="I-JEPA (arXiv 2301.08243), section 3",
    )

    @model_validator(mode="after")
    def _shape(self) -> "PredictorConfig":
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width: got {self.width}; allowed multiples of 4 and of the {self.heads} heads")
        return self


__all__ = ["SIZES", "MasksConfig", "ModelConfig", "PredictorConfig"]
