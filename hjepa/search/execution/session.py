"""Ray for the time of one study: started or joined, and left without a trace."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import ray

from hjepa.overrides import ConfigError
from hjepa.search.execution.interruption import RayLost
from hjepa.search.execution.order import passed_on

#: Seconds between looks whether Ray lives, and those for which its head may be silent: on a cluster it may be started
#: again, and Ray itself waits for a minute.
LOOK, SILENCE = 5.0, 40.0

#: Settings of Ray that its processes read from the environment. Tune's own snapshots and its handling of
#: signals are not used here; a working directory that changes under a trial would move relative paths.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@contextlib.contextmanager
def ray_session(address: str | None, *, dashboard: bool) -> Iterator[dict[str, float]]:
    """The total resources of a local Ray of our own, or of the running cluster at `address`.

    `dashboard` is needed for trials of several workers: without its State API, stopped ones leak
    their placement groups. Raises ConfigError when no cluster answers.
    """
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update(SETTINGS)
    try:
        _start(address, dashboard)
        total = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield {str(name): float(amount) for name, amount in total.items()}
    finally:
        ray.shutdown()
        _restore(before)


class Pulse:
    """Whether Ray lives. Where its last node has died, Tune itself would wait for another one, for ever; where its head
    has, whatever asks it waits, until Ray ends the process after a minute, without a word to its user.
    """

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        """`say` tells the user."""
        self._say = say
        self._now = now
        self._last = now()
        self._silent = 0.0
        self._lost: str | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While entered, look after the head beside what may wait for it."""
        over = threading.Event()
        head = ray.get_runtime_context().gcs_address
        threading.Thread(target=self._watch, args=(head, over), name="pulse", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def check(self) -> None:
        """Look, now and then. Raises RayLost."""
        if self._lost is not None:
            raise RayLost(self._lost)
        if self._silent or self._now() - self._last < LOOK:
            return
        self._last = self._now()
        if not any(node["Alive"] for node in ray.nodes()):  # type: ignore[no-untyped-call]
            raise RayLost("Ray has died: no node of it is left; every trial that ended is kept")

    def _watch(self, head: str, over: threading.Event) -> None:
        while self._lost is None and not over.wait(LOOK):
            self._silent = 0.0 if _listens(head) else self._silent + LOOK
            if self._silent >= SILENCE:
                self._lost = f"Ray has died: its head at {head} does not answer; every trial that ended is kept"
                self._say(f"{self._lost}, and the same command goes on")


def cluster_resources(address: str) -> dict[str, float]:
    """The total resources of a running cluster. Raises ConfigError when none answers."""
    with ray_session(address, dashboard=False) as resources:
        return resources


def _start(address: str | None, dashboard: bool) -> None:
    variables = {**passed_on(), **SETTINGS}
    port = _free_port()
    try:
        if address is None:
            if dashboard:  # else what cleans up after stopped trials fails beside a second Ray on this machine
                variables["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{port}"
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
            ray.init(
                address="local",  # never joins a cluster that happens to run on this machine
                num_cpus=cores,
                include_dashboard=dashboard,
                dashboard_port=port,
                runtime_env={"env_vars": variables},
            )
        else:
            _knock(address)
            if _port_of(address) is not None:
                variables["RAY_ADDRESS"] = address
            ray.init(address=address, runtime_env={"env_vars": variables})
    except (OSError, ray.exceptions.RayError, ValueError) as error:
        where = "a local Ray" if address is None else f"the Ray cluster at {address}"
        raise ConfigError([f"--address: {where} does not answer: {str(error).strip().splitlines()[0]}"]) from error


def _knock(address: str, timeout: float = 10) -> None:
    """Raise OSError at once where nobody listens at host:port; Ray itself would try for minutes."""
    port = _port_of(address)
    if port is not None:
        host = address.rpartition(":")[0].rpartition("/")[2].strip("[]")
        socket.create_connection((host, port), timeout=timeout).close()


def _listens(address: str) -> bool:
    try:
        _knock(address, timeout=2)
    except (ConnectionRefusedError, TimeoutError):
        return False
    except OSError:  # not known
        return True
    return True


def _port_of(address: str) -> int | None:
    """The port of host:port; None for a name such as auto."""
    host, _, port = address.rpartition(":")
    return int(port) if host and port.isdigit() else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def storage(directory: Path) -> str:
    """Where Tune and Train keep their own files: inside the study."""
    return str(directory / "ray")
