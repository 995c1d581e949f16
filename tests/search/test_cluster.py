"""`cluster.yaml` passes Ray's own checks, and `--address` runs a study on the nodes of a running cluster."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hjepa.overrides import yaml12
from hjepa.search.records import StudyRecords
from tests.tiny import EXPERIMENT, MAIN

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
STUDY: dict[str, Any] = {
    "study": "two_nodes",
    "base": {**EXPERIMENT, "data.train_size": 60, "optim.batch_size": 30},
    "budget": {"trials": 4, "epochs": 1},
    "space": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}},
}


def test_cluster_yaml_is_what_ray_expects() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml12.read(ROOT / "cluster.yaml")
    validate_config(prepare_config(config))


def test_cluster_yaml_starts_every_node_with_the_token_and_nothing_public() -> None:
    config = yaml12.read(ROOT / "cluster.yaml")
    assert isinstance(config, dict)
    starts = [c for part in ("head", "worker") for c in config[f"{part}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert "0.0.0.0" not in " ".join(starts)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """Two Ray nodes of one CPU each on this machine, with a token of their own."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        }
        self._folder = folder
        #: Short, as Ray's sockets lie in it and their paths are limited to 107 characters.
        self._temporary = tempfile.mkdtemp(prefix="ray_")
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        port = self.address.partition(":")[2]
        self._start("--head", "--port", port, "--include-dashboard", "false", "--temp-dir", self._temporary)
        self._start("--address", self.address)

    def _start(self, *flags: str) -> None:
        command = [str(RAY), "start", *flags, "--num-cpus", "1", "--block", "--disable-usage-stats"]
        log = (self._folder / f"node{len(self._nodes)}.log").open("wb")
        with log:
            self._nodes.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def nodes(self) -> int:
        """Nodes that answer, asked from a process of its own."""
        code = f"import ray; ray.init(address={self.address!r}, log_to_driver=False); print(len(ray.nodes()))"
        found = subprocess.run(
            [sys.executable, "-c", code], check=False, env=self.environment, capture_output=True, text=True, timeout=120
        )
        return int(found.stdout.split()[-1]) if found.returncode == 0 else 0

    def stop(self) -> None:
        """End these two nodes and no other Ray: `ray start --block` ends its own processes when asked to."""
        for node in reversed(self._nodes):
            node.terminate()
        for node in self._nodes:
            node.wait(timeout=60)
        shutil.rmtree(self._temporary, ignore_errors=True)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    cluster.start()
    try:
        deadline = time.monotonic() + 120
        while cluster.nodes() < 2:
            assert time.monotonic() < deadline, (tmp_path / "node0.log").read_text()
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_runs_on_the_nodes_of_a_running_cluster(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml12.dump(STUDY))
    command = [sys.executable, "-c", MAIN, "run", "study.yaml", "--output", "out", "--address", cluster.address]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, env=cluster.environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "2 at once on 2 CPU" in done.stderr, "the plan counts both nodes"
    records = StudyRecords.open(tmp_path / "out").trials()
    assert [record.state for record in records] == ["completed"] * 4
    assert cluster.nodes() == 2, "the cluster was left running"


@pytest.mark.ray
@pytest.mark.slow
def test_an_address_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml12.dump(STUDY))
    command = [sys.executable, "-c", MAIN, "run", "study.yaml", "--output", "out", "--address", "127.0.0.1:9"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert "error: --address: the Ray cluster at 127.0.0.1:9 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
