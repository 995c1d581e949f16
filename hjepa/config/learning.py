"""Run length, evaluation and runtime."""

from typing import Annotated, Literal

from pydantic import Field

from hjepa.config.fields import SET, Section, knob


class TrainingConfig(Section):
    """How long a run is."""

    epochs: Annotated[int, Field(ge=0)] = knob(
        20, "Passes over the training images; also the horizon of every schedule.", effect="training", flip=3
    )


class EvaluationConfig(Section):
    """Probes of the frozen EMA encoder on the hold-out."""

    interval: Annotated[int, Field(ge=1)] | None = knob(
        None, "Epochs between cheap probes; null probes about 20 times a run.", effect="evaluation", flip=2
    )
    features: Literal["last", "last4"] = knob(
        "last",
        "Average-pooled tokens of the last block, or of the last four, concatenated.",
        effect="evaluation",
        flip="last4",
        source="I-JEPA (arXiv 2301.08243), appendix A.2",
    )
    size: Annotated[int, Field(ge=8, le=1024)] | None = knob(
        None,
        "Side in pixels of what probes see; null takes views.size. Positions follow: absolute ones span the image, "
        "rotations go as their paper.",
        effect="evaluation",
        flip=24,
        source="RoPE-ViT (arXiv 2403.13298), which compares positions by it",
        proof="tests/training/test_patch_sizes.py::"
        "test_evaluation_at_another_resolution_moves_the_evaluation_alone[model.positions=learned]",
        title="evaluation at another resolution",
    )
    soup: Literal["none", "uniform", "greedy"] = knob(
        "none",
        "Weights of the full probe at the end. none: the last epoch's; uniform: the mean over the last epochs; "
        "greedy: a mean that admits an epoch only where the cheap probe does not fall.",
        effect="evaluation",
        flip="uniform",
        source="Izmailov et al. 2018 (arXiv 1803.05407); Wortsman et al. 2022 (arXiv 2203.05482)",
        proof="tests/training/test_soup.py::test_the_saved_encoder_is_the_mean_of_the_last_epochs",
        title="averaged weights and greedy soups",
    )
    average_last: Annotated[int, Field(ge=2)] = knob(
        5,
        "Last epochs whose weights are averaged, or all where the run has fewer.",
        effect="evaluation",
        flip=2,
        when={"evaluation.soup": ["uniform", "greedy"]},
        proof="tests/training/test_soup.py::test_fewer_epochs_are_all_averaged",
    )
    levels: bool = knob(
        False,
        "With the full probe, score each level too: a probe of one drawn cell of its target map for each image.",
        effect="evaluation",
        flip=True,
        when={"evaluation.labels_per_class": [None]},
        proof="tests/evaluation/test_level_probes.py::test_a_level_is_scored_by_what_one_of_its_cells_knows",
        title="level-by-level probes",
    )
    labels_per_class: Annotated[int, Field(ge=2)] | None = knob(
        None, "Fit the probes on this many labels a class; null on all.", effect="evaluation", flip=5
    )
    draws: Annotated[int, Field(ge=1)] = knob(
        10,
        "Draws of the few labels that a score averages.",
        effect="evaluation",
        flip=3,
        when={"evaluation.labels_per_class": SET},
    )
    rung_train: Annotated[int, Field(ge=10)] = knob(
        2000, "Training images that a cheap probe is fitted on.", effect="evaluation", flip=50
    )
    rung_holdout: Annotated[int, Field(ge=10)] = knob(
        1000, "Held-out images that a cheap probe is scored on.", effect="evaluation", flip=60
    )
    knn_k: Annotated[int, Field(ge=1)] = knob(20, "Neighbours of the k-NN score.", effect="evaluation", flip=1)
    knn_temperature: Annotated[float, Field(gt=0.0)] = knob(
        0.07, "Neighbours vote with weight exp(cosine / temperature).", effect="evaluation", flip=5.0
    )


class RuntimeConfig(Section):
    """Where and how fast; never what."""

    device: Literal["auto", "cpu", "cuda", "mps"] = knob(
        "auto", "auto takes cuda, then mps, then cpu.", effect="runtime_numeric", flip="cpu"
    )
    precision: Literal["bf16", "fp32"] = knob(
        "bf16",
        "bf16 autocast with fp32 weights and statistics, or fp32.",
        effect="runtime_numeric",
        flip="fp32",
        source="torch.autocast; I-JEPA B.7 trains in bf16",
        proof="tests/training/test_step.py::test_bf16_is_near_fp32_and_keeps_fp32_state",
        title="mixed precision",
    )
    attention: Literal["auto", "eager", "math", "flash", "efficient", "cudnn"] = knob(
        "auto",
        "Attention kernel of encoder and predictor; one that this device lacks is refused.",
        effect="runtime_numeric",
        flip="math",
        source="torch.nn.attention.sdpa_kernel",
        proof="tests/models/test_kernels.py::test_encoder_and_predictor_run_the_kernel[math]",
        title="attention kernel",
    )
    checkpointing: Literal["none", "encoder", "all"] = knob(
        "none",
        "Keep only the inputs of transformer blocks while training and compute the rest again backwards: "
        "encoder: the student's blocks; all: the predictor's too.",
        effect="runtime_exact",
        flip="all",
        source="Chen et al. 2016 (arXiv 1604.06174); torch.utils.checkpoint",
        proof="tests/models/test_checkpointing.py::test_gradients_are_bit_equal_and_fewer_bytes_are_kept[all]",
        title="gradient checkpointing",
    )
    compile: bool = knob(
        False,
        "Compile the transformer blocks with torch.compile; the first steps of each shape take a minute or so.",
        effect="runtime_numeric",
        flip=True,
        source="torch.compile",
        proof="tests/models/test_compile.py::test_a_run_with_compiled_blocks_is_as_without",
        title="torch.compile",
    )
    threads: Annotated[int, Field(ge=1)] | None = knob(
        None, "CPU threads; null takes the cores this process may use.", effect="runtime_numeric", flip=1
    )
    micro_batch: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Images per forward pass on each worker; gradients accumulate to the batch size. null: all at once.",
        effect="runtime_numeric",
        flip=16,
        proof="tests/training/test_step.py::test_accumulation_equals_the_large_batch[extra0]",
        title="gradient accumulation",
    )
    log_interval: Annotated[int, Field(ge=1)] = knob(
        50, "Optimiser steps between lines of metrics.jsonl.", effect="runtime_exact", flip=1
    )
    gradient_interval: Annotated[int, Field(ge=1)] | None = knob(
        None,
        "Optimiser steps between measurements of each term's gradient norm on the encoder, a backward pass a term; "
        "null takes none.",
        effect="runtime_exact",
        flip=1,
        proof="tests/training/test_terms_in_step.py::test_measuring_changes_nothing_and_one_term_is_the_whole_gradient",
        title="gradient norms of the terms",
    )
    checkpoint_interval: Annotated[int, Field(ge=1)] = knob(
        1, "Epochs between checkpoints.", effect="runtime_exact", flip=2
    )
