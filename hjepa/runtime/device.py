"""Device, precision and threads."""

import contextlib
import os
from dataclasses import dataclass

import torch

from hjepa.config import RuntimeConfig
from hjepa.overrides import ConfigError, problem


@dataclass(frozen=True)
class Device:
    """Where a run computes, and in what precision."""

    device: torch.device
    precision: str
    threads: int

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The autocast region of the forward pass; nothing in fp32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def synchronise(self) -> None:
        """Wait for the device, so that a clock can be read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def peak_bytes(self) -> int | None:
        """Peak device memory since the run began; None where the device does not count it."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def forget_peak(self) -> None:
        """Begin to count peak memory anew, from what is held now."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_device(config: RuntimeConfig, index: int = 0) -> Device:
    """The device the configuration asks for, with the thread count set.

    Raises ConfigError when it names a device this machine lacks.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    name = config.device
    if name == "auto":
        name = "cuda" if have["cuda"] else "mps" if have["mps"] else "cpu"
    if not have[name]:
        present = ", ".join(kind for kind, there in have.items() if there)
        raise ConfigError([problem("runtime.device", name, f"{present} (what this machine has)")])
    threads = config.threads or available_cores()
    torch.set_num_threads(threads)
    device = torch.device("cuda", index) if name == "cuda" else torch.device(name)
    return Device(device, config.precision, threads)
