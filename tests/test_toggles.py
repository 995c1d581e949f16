"""Every field acts as it says: training fields move the training, evaluation fields the score alone, runtime none.

Each is flipped in a tiny run from its YAML line to the weights and scores; a field that cannot act is refused.
"""

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import datasets

from hjepa.config import POSITIVE, Config, OptimConfig, knob
from hjepa.data import Dataset
from hjepa.overrides import ConfigError, Knob, Layer, knobs, resolve
from hjepa.overrides import fields as fields_module
from hjepa.training import check
from hjepa.training.loop import Loop
from tests import effect_gate as gate
from tests import small_data

Check = Callable[[Knob, Mapping[str, Any]], str | None]


@pytest.fixture(scope="module")
def check_field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    """The gate: what is wrong with a field in one scene. Runs with equal settings happen once."""
    folder = tmp_path_factory.mktemp("gate")
    known: dict[str, gate.Trace] = {}
    numbers = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        small_data.lay_out(folder)
        small_data.use(folder, patch)

        def trace(base: Mapping[str, Any], flip: Mapping[str, Any], profiled: bool, scored: bool) -> gate.Trace:
            key = repr((sorted(base.items()), sorted(flip.items()), profiled, scored))
            if key not in known:
                known[key] = _run(base, flip, folder / f"run{next(numbers)}", profiled=profiled, scored=scored)
            return known[key]

        def checked(field: Knob, scene: Mapping[str, Any]) -> str | None:
            base, flip = gate.pair(field, scene)
            how = (field.path in gate.PROFILED, field.effect != "training")
            return gate.fault(field, trace(base, {}, *how), trace(base, flip, *how))

        yield checked


def _run(base: Mapping[str, Any], flip: Mapping[str, Any], folder: Path, **how: bool) -> gate.Trace:
    """One watched run; the data lies under HJEPA_DATA unless the flip names, or fetches, it elsewhere."""
    data = folder.parent / "data"
    downloads: list[str] = []

    def download(archive: Any) -> None:
        target = Path(archive.root) / archive.base_folder
        if not target.exists():
            downloads.append(archive.base_folder)
            target.symlink_to(data / archive.base_folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HJEPA_DATA", str(folder / "downloaded" if "data.download" in flip else data))
        if "data.root" in flip:
            patch.delenv("HJEPA_DATA")
        for kind in (datasets.CIFAR10, datasets.STL10):  # CIFAR100 inherits
            patch.setattr(kind, "download", download)
        trace = gate.run(base, flip, folder, **how)
    trace.seen["downloads"] = downloads
    return trace


def _cases() -> Iterator[Any]:
    for field in knobs().values():
        if field.path in gate.APART:
            continue
        for number, scene in enumerate(gate.scenes(field)):
            name = f"{field.path}-{number}" if number else field.path
            try:
                gate.pair(field, scene)
            except ConfigError:
                assert number, f"{field.path}: its flip is refused where it is live"
                continue  # this flip needs another value of the condition, which is tried too
            yield pytest.param(field, scene, id=name)


@pytest.mark.slow
@pytest.mark.parametrize(("field", "scene"), list(_cases()))
def test_a_field_acts_as_it_says(check_field: Check, field: Knob, scene: Mapping[str, Any]) -> None:
    if field.path == "runtime.device":
        scene = scene | {"runtime.device": "cpu"}
    assert check_field(field, scene) is None


def test_every_runtime_field_has_its_own_proof() -> None:
    assert set(gate.OBSERVED) == {path for path, field in knobs().items() if field.effect.startswith("runtime")}


def test_the_device_field_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with only a CPU the device runs as `auto`; that the field is read shows in what it refuses."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"runtime\.device: got cuda; allowed cpu"):
        check(resolve([Layer("test", {"runtime.device": "cuda"})]))


def _dead_cases() -> Iterator[Any]:
    for field in knobs().values():
        for path, allowed in field.when.items():
            yield pytest.param(field, path, allowed, id=f"{field.path} without {path}")


@pytest.mark.parametrize(("field", "path", "allowed"), list(_dead_cases()))
def test_a_field_that_cannot_act_is_refused(field: Knob, path: str, allowed: Any) -> None:
    switch = knobs()[path]
    if isinstance(allowed, str):
        others: list[Any] = [0 if allowed == POSITIVE else None]
    elif switch.choices is not None:
        others = [value for value in switch.choices if value not in allowed]
    else:
        others = [1]
    assert others, f"{field.path}: its condition on {path} is always met"
    (scene, *_) = gate.scenes(field)
    base, flip = gate.pair(field, scene)
    for value in others:
        dead = base | flip | gate.enable(path, value)
        with pytest.raises(ConfigError) as caught:
            resolve([Layer("test", dead)])
        lines = caught.value.problems
        own = [line for line in lines if line.startswith(f"{field.path}: got ")]
        # Where the two cannot even be beside each other, the refusal is of the switch.
        assert any(path in line for line in own or lines)


# --- the gate itself goes red ------------------------------------------------------------------------------


@pytest.fixture
def planted_dead_field(monkeypatch: pytest.MonkeyPatch) -> Iterator[Knob]:
    """A schema with one more field, which nothing reads."""

    class PlantedOptim(OptimConfig):
        nesterov: bool = knob(False, "Read by nothing.", effect="training", flip=True)

    class Planted(Config):
        optim: PlantedOptim = PlantedOptim()

    knobs.cache_clear()
    monkeypatch.setattr(fields_module, "Config", Planted)
    monkeypatch.setattr(sys.modules["hjepa.overrides.resolve"], "Config", Planted)
    yield knobs()["optim.nesterov"]
    knobs.cache_clear()


def test_a_planted_dead_field_is_found(check_field: Check, planted_dead_field: Knob) -> None:
    (scene,) = gate.scenes(planted_dead_field)
    assert check_field(planted_dead_field, scene) == "optim.nesterov: a training field that does not move the training"


@pytest.mark.parametrize("effect", ["runtime_exact", "runtime_numeric"])
def test_a_planted_leak_is_found(check_field: Check, monkeypatch: pytest.MonkeyPatch, effect: Any) -> None:
    """A runtime field that does what it says, and shifts the stream of images besides."""
    batches, order = Loop._batches, Dataset.order

    def leaking(self: Loop, epoch: int) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            if self.run.config.runtime.log_interval == 1:
                patch.setattr(Dataset, "order", lambda dataset, seed, epoch: order(dataset, seed + 1, epoch))
            yield from batches(self, epoch)

    monkeypatch.setattr(Loop, "_batches", leaking)
    field = replace(knobs()["runtime.log_interval"], effect=effect)
    (scene,) = gate.scenes(field)
    found = check_field(field, scene | {"seed": 7})  # a run that no other test shares
    assert found is not None and "runtime field that moves" in found and "images" in found


def test_an_evaluation_field_that_moves_the_training_is_found(check_field: Check) -> None:
    leaking = replace(knobs()["optim.lr"], effect="evaluation")
    (scene,) = gate.scenes(leaking)
    assert "an evaluation field that moves" in (check_field(leaking, scene) or "")


def test_a_planted_wrong_condition_is_found(check_field: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour jitter that claims to act without its augmentation."""
    wrong = replace(knobs()["views.color_jitter"], when={})
    monkeypatch.setitem(knobs(), "views.color_jitter", wrong)  # type: ignore[misc]
    (scene,) = gate.scenes(wrong)
    assert check_field(wrong, scene) == "views.color_jitter: a training field that does not move the training"


def test_a_runtime_field_without_effect_is_found(check_field: Check) -> None:
    """A field that claims to be a runtime field and shows nothing of it."""
    idle = replace(knobs()["runtime.log_interval"], flip=51)
    (scene,) = gate.scenes(idle)
    assert "nothing shows that it acts" in (check_field(idle, scene) or "")
