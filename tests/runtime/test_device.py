"""The device asked for is the device had, or one line says what there is."""

import pytest
import torch

from hjepa.config import RuntimeConfig
from hjepa.overrides import ConfigError
from hjepa.runtime.device import available_cores, pick_device


def test_threads_are_set() -> None:
    assert pick_device(RuntimeConfig(device="cpu", threads=1)).threads == 1
    assert torch.get_num_threads() == 1
    assert pick_device(RuntimeConfig(device="cpu")).threads == available_cores()


def test_precision_decides_the_autocast_region() -> None:
    x = torch.ones(2, 2)
    with pick_device(RuntimeConfig(device="cpu", precision="bf16")).autocast():
        assert (x @ x).dtype == torch.bfloat16
    with pick_device(RuntimeConfig(device="cpu", precision="fp32")).autocast():
        assert (x @ x).dtype == torch.float32


def test_a_missing_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError) as caught:
        pick_device(RuntimeConfig(device="cuda"))
    assert str(caught.value) == "runtime.device: got cuda; allowed cpu (what this machine has)"
    device = pick_device(RuntimeConfig(device="auto"))
    assert device.device.type == "cpu"
    assert device.peak_bytes() is None
    device.synchronise()
