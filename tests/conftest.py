"""What every test shares: no trace outside its temporary folders, and a count of what could not run here."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("hjepa", deadline=None, derandomize=True, database=None)
settings.load_profile("hjepa")

WITHOUT_DATA = "needs the real data sets: set HJEPA_DATA to where they lie"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option of this suite."""
    parser.addoption(
        "--write-golden", action="store_true", help="record anew: the baseline's fingerprint, README's table"
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray's tests in two groups, of each one at a time; real-data tests skip where the data is not."""
    for item in items:
        if ray := item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group(ray.kwargs.get("group", "ray")))
    if os.environ.get("HJEPA_DATA"):
        return
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(pytest.mark.skip(reason=WITHOUT_DATA))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many real-data tests were skipped."""
    skipped = [report for report in terminalreporter.getreports("skipped") if WITHOUT_DATA in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} real-data tests skipped: HJEPA_DATA is not set")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded data sets go to the session's folder, runs to no shared tracking server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HJEPA_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves its workers beside the other tests
        yield


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A test that sets the thread count leaves it as it was."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    yield
    if torch and threads:
        torch.set_num_threads(threads)


@pytest.fixture
def real_data() -> Path:
    """The root of the real data sets."""
    return Path(os.environ["HJEPA_DATA"])
