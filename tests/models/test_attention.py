"""Claims: every kernel computes the same attention; the kernel asked for is the one that runs, or it is
refused; the explicit softmax keeps the N x N scores and flash does not."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from hjepa.models import attend, resolve_kernel
from hjepa.overrides import ConfigError

CPU = torch.device("cpu")
NAMES = {
    "math": "aten::_scaled_dot_product_attention_math",
    "flash": "aten::_scaled_dot_product_flash_attention_for_cpu",
    "eager": "aten::softmax",
}


def inputs(dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 20, 16, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("kernel", ["math", "flash", "by_gradient"])
def test_kernels_agree_with_eager(kernel: str, dtype: torch.dtype, tolerance: float) -> None:
    q, k, v = inputs(dtype)
    assert torch.allclose(attend(q, k, v, kernel), attend(q, k, v, "eager"), atol=tolerance)


@pytest.mark.parametrize("kernel", ["eager", "math", "flash"])
def test_profiler_sees_the_kernel(kernel: str) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        attend(*inputs(torch.float32), kernel)
    names = {event.key for event in seen.key_averages()}
    assert NAMES[kernel] in names
    assert not names & {name for other, name in NAMES.items() if other not in (kernel, "eager")}


def test_auto_on_a_cpu_depends_on_precision_and_gradients() -> None:
    assert resolve_kernel("auto", CPU, torch.bfloat16, 64) == "eager"
    assert resolve_kernel("auto", CPU, torch.float32, 64) == "by_gradient"
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as seen:
        attend(*inputs(torch.float32), "by_gradient")
    assert NAMES["flash"] in {event.key for event in seen.key_averages()}


def test_saved_bytes() -> None:
    def saved(kernel: str) -> int:
        total = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        long = [torch.randn(1, 1, 256, 8, requires_grad=True) for _ in range(3)]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            attend(*long, kernel)
        return total

    assert saved("eager") > 256 * 256
    assert saved("flash") < 256 * 256


@pytest.mark.parametrize("kernel", ["efficient", "cudnn"])
def test_a_kernel_this_device_lacks_is_refused(kernel: str) -> None:
    with pytest.raises(ConfigError, match=f"runtime.attention: got {kernel}; allowed auto, eager, math, flash"):
        resolve_kernel(kernel, CPU, torch.float32, 16)
