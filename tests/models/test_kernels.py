"""Claims: student, target encoder, predictors and attention between levels all run the kernel that the
configuration names; in encoder and predictor the explicit softmax keeps its N x N scores and flash keeps none."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile, record_function

from hjepa.overrides import load_config
from hjepa.training import Run, build

BATCH = 4
SETTINGS = [
    "views.size=64",
    "model.size=null",
    "model.width=16",
    "model.depth=2",
    "model.heads=2",
    "predictor.width=16",
    "predictor.depth=2",
    "predictor.heads=2",
    "predictor.blocks=joint",
    f"optim.batch_size={BATCH}",
    "runtime.threads=1",
]
#: What PyTorch's profiler calls each kernel.
ON_CPU = {
    "eager": {"aten::softmax", "aten::bmm"},
    "math": {"aten::_scaled_dot_product_attention_math"},
    "flash": {"aten::_scaled_dot_product_flash_attention_for_cpu"},
}
ON_CUDA = {
    "eager": {"aten::softmax", "aten::bmm"},
    "math": {"aten::_scaled_dot_product_attention_math"},
    "flash": {"aten::_scaled_dot_product_flash_attention"},
    "efficient": {"aten::_scaled_dot_product_efficient_attention"},
    "cudnn": {"aten::_scaled_dot_product_cudnn_attention"},
}


def make(kernel: str, *more: str) -> Run:
    return build(load_config(None, [*SETTINGS, f"runtime.attention={kernel}", *more]))


def parts(run: Run) -> dict[str, nn.Module]:
    """What attends, by name."""
    model = run.model
    found = {"student": model.encoder, "target": model.target_encoder, "predictor": model.predictors[0]}
    return {name: part for name, part in found.items() if part is not None}


def forward(run: Run) -> None:
    images = torch.randint(0, 256, (BATCH, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    run.model.train()
    run.step.outputs(images, run.step.draw(64, 1), slice(0, BATCH))


def kernels(run: Run) -> dict[str, set[str]]:
    """The names of the operations of each part in one forward pass."""
    scopes = {name: record_function(f"part {name}") for name in parts(run)}
    handles = []
    for name, part in parts(run).items():
        handles.append(part.register_forward_pre_hook(lambda *_, scope=scopes[name]: scope.__enter__() and None))
        handles.append(part.register_forward_hook(lambda *_, scope=scopes[name]: scope.__exit__(None, None, None)))
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        forward(run)
    for handle in handles:
        handle.remove()
    found: dict[str, set[str]] = {name: set() for name in scopes}
    for event in seen.events():
        parent = event.cpu_parent
        while parent is not None and not parent.name.startswith("part "):
            parent = parent.cpu_parent
        if parent is not None:
            found[parent.name.removeprefix("part ")].add(event.name)
    return found


def refute_other_kernels(found: dict[str, set[str]], kernel: str, names: dict[str, set[str]]) -> None:
    for part, seen in found.items():
        assert names[kernel] <= seen, f"{part} runs no {kernel}"
        fused = {name for name in seen if name.startswith("aten::_scaled_dot_product")}
        assert fused <= names[kernel], f"{part} runs {fused}"


@pytest.mark.parametrize("kernel", list(ON_CPU))
def test_encoder_and_predictor_run_the_kernel(kernel: str) -> None:
    run = make(kernel, "runtime.device=cpu", "runtime.precision=fp32")
    refute_other_kernels(kernels(run), kernel, ON_CPU)


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", list(ON_CUDA))
def test_encoder_and_predictor_run_the_kernel_on_a_gpu(kernel: str) -> None:
    run = make(kernel, "runtime.device=cuda", "runtime.precision=bf16")
    refute_other_kernels(kernels(run), kernel, ON_CUDA)


def test_attention_between_levels_runs_it_too() -> None:
    (math,) = ON_CPU["math"]
    calls = {}
    for kind in ("none", "both"):
        run = make("math", "runtime.device=cpu", "runtime.precision=fp32", f"hierarchy.cross_attention={kind}")
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            forward(run)
        names = [event.name for event in seen.events() if event.name.startswith("aten::_scaled_dot_product")]
        assert set(names) == {math}
        calls[kind] = len(names)
    assert calls["both"] > calls["none"]


def kept(run: Run) -> dict[str, int]:
    """Bytes that autograd keeps of student and predictor in one forward pass."""
    found = {"student": 0, "predictor": 0}
    handles = []
    for name in found:

        def pack(tensor: Tensor, name: str = name) -> Tensor:
            found[name] += tensor.nbytes
            return tensor

        hooks = saved_tensors_hooks(pack, lambda tensor: tensor)
        part = parts(run)[name]
        handles.append(part.register_forward_pre_hook(lambda *_, hooks=hooks: hooks.__enter__()))
        handles.append(part.register_forward_hook(lambda *_, hooks=hooks: hooks.__exit__()))
    forward(run)
    return found


def test_explicit_softmax_keeps_the_scores_and_flash_does_not() -> None:
    eager, flash = (make(kernel, "runtime.device=cpu", "runtime.precision=fp32") for kernel in ("eager", "flash"))
    masks = eager.step.draw(64, 1).masks[0]
    seen, asked = masks.context.shape[1], masks.targets[0].numel()
    heads, depth, width = 2, 2, 4  # bytes of a float
    scores = {
        "student": BATCH * heads * depth * seen**2 * width,
        "predictor": BATCH * heads * (depth - 1) * (seen + asked) ** 2 * width,
    }
    more, less = kept(eager), kept(flash)
    for part, expected in scores.items():
        assert more[part] - less[part] > 0.5 * expected, part
