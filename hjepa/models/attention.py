"""The one attention function of encoder and predictor."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from hjepa.overrides import ConfigError, problem

BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}


def attend(query: Tensor, key: Tensor, value: Tensor, kernel: str) -> Tensor:
    """softmax(Q K' / sqrt(d)) V for query, key, value of shape [B, H, N, d].

    kernel: eager (explicit softmax), math, flash, efficient, cudnn, or `by_gradient`: eager where
    gradients flow and flash elsewhere.
    """
    if kernel == "by_gradient":
        kernel = "eager" if torch.is_grad_enabled() else "flash"
    if kernel == "eager":
        # One batched product with the scale inside: a pass over the queries less than `(q * s) @ k'`.
        flat, width = query.flatten(0, 1), query.shape[-1]
        scores = torch.baddbmm(flat.new_empty(()), flat, key.flatten(0, 1).transpose(1, 2), beta=0, alpha=width**-0.5)
        mixed: Tensor = torch.bmm(scores.softmax(-1), value.flatten(0, 1)).view(query.shape)
        return mixed
    with sdpa_kernel([BACKENDS[kernel]]):
        return F.scaled_dot_product_attention(query, key, value)


def resolve_kernel(name: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> str:
    """The kernel that `name` means on this device.

    auto follows measurement (`benchmarks/attention.py`): on a CPU the explicit softmax wins in
    bf16, and in fp32 where gradients flow, flash elsewhere; on CUDA flash in bf16 and efficient in fp32; else math.
    Raises ConfigError when the kernel named cannot run here; it never falls back.
    """
    if name == "auto":
        if device.type == "cpu":
            return "eager" if dtype == torch.bfloat16 else "by_gradient"
        if device.type == "cuda":
            return "flash" if dtype == torch.bfloat16 else "efficient"
        return "math"
    if name in BACKENDS and not _runs(name, device, dtype, head_dim):
        working = [other for other in BACKENDS if _runs(other, device, dtype, head_dim)]
        allowed = ", ".join(["auto", "eager", *working]) + f" (on {device.type} in {str(dtype).removeprefix('torch.')})"
        raise ConfigError([problem("runtime.attention", name, allowed)])
    return name


def _runs(kernel: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether this kernel runs forward and backward on this device."""
    probe = torch.zeros(1, 1, 8, head_dim, device=device, dtype=dtype, requires_grad=True)
    try:
        with torch.enable_grad():
            torch.autograd.grad(attend(probe, probe, probe, kernel).sum(), probe)
    except RuntimeError:  # torch: "No available kernel" or "No viable backend"
        return False
    return True
