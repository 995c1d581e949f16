"""A trial's process gets the Config itself, threads and folders pinned, and nothing moved that its identity holds."""

from pathlib import Path

import pytest

from hjepa.config import Config
from hjepa.overrides import canonical, load_config
from hjepa.search.execution.order import Order, passed_on, pinned


def test_an_order_survives_the_way_to_the_worker() -> None:
    config = load_config(overrides=["optim.lr=0.002", "model.layer_scale=1e-4", "objective.level_weights=[1,0.5,0.1]"])
    order = Order("id", config.model_dump_json(), "/study/trials/id", "/study", workers=2, cpus=3, gpus=0.5)
    packed = order.pack()
    assert all(isinstance(value, str) for value in packed.values())
    assert Order.unpack(packed) == order
    assert order.parsed() == config


def test_threads_follow_the_cpus_unless_the_base_sets_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(overrides=["data.dataset=cifar10", "data.root=sets", "data.cache=decoded"])
    ready = pinned(config, 3)
    assert (ready.runtime.threads, ready.data.root, ready.data.cache) == (
        3,
        str(tmp_path / "sets"),
        str(tmp_path / "decoded"),
    )
    assert canonical(ready) == canonical(config)
    own = load_config(overrides=["runtime.threads=7"])
    assert pinned(own, 3).runtime.threads == 7
    assert pinned(Config(), 1).data == Config().data


def test_only_what_trials_need_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = {"MLFLOW_TRACKING_URI": "https://me:no@host", "MLFLOW_TRACKING_PASSWORD": "no", "SECRET_TOKEN": "no"}
    given = {"HJEPA_DATA": "sets", "HJEPA_CACHE": "/cache", "PATH": "/bin", **secrets}
    assert passed_on(given) == {"HJEPA_DATA": str(tmp_path / "sets"), "HJEPA_CACHE": "/cache"}
