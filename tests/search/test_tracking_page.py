"""MLflow's own page shows a study as its users expect: trials found, sorted by the probe's score, compared."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from hjepa.search.records import StudyRecords
from hjepa.search.tracking.mirror import sync
from tests.browser import browser
from tests.tracked import Enter, MakeStudy, make_records

__all__ = ["browser"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(280),
]
MAIN = "from hjepa.cli.search import main; main()"
PATIENCE = 60


def wait(look: Callable[[], Any], what: str) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(f"no {what} within {PATIENCE} s")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def records(make_study: MakeStudy, enter: Enter, tmp_path: Path, empty_store: Path) -> StudyRecords:
    """Five trials, mirrored afterwards."""
    records = make_records(make_study, enter, tmp_path / "study")
    shutil.copy(empty_store, records.directory / "mlflow.db")
    assert sync(records) == []
    parent = next((records.directory / "artifacts").rglob("report.html"))
    assert (parent.parent / "report.md").is_file(), "the page is an artifact of the study's run, too"
    return records


@pytest.fixture
def address(records: StudyRecords) -> Iterator[str]:
    """Where `hjepa-search ui` serves the study."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", MAIN, "ui", str(records.directory), "--port", str(port)]
    with (records.directory / "ui.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait(lambda: answers(f"http://127.0.0.1:{port}"), "server")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def text(driver: Any) -> str:
    return str(driver.find_element("tag name", "body").text)


def test_trials_are_found_sorted_by_the_probe_and_compared(
    browser: Any,
    address: str,
    records: StudyRecords,
    tmp_path: Path,
) -> None:
    best, baseline = records.trials()[4], records.trials()[0]
    order = f"orderByKey={quote('metrics.`probe.top1`')}&orderByAsc=false&startTime=ALL&lifecycleFilter=Active"
    browser.get(f"{address}/#/experiments/1/runs?{order}")
    shown = wait(lambda: text(browser) if "c4 seed 0" in text(browser) else None, "trial in the table")
    browser.save_screenshot(str(tmp_path / "runs.png"))
    assert shown.index("c4 seed 0") < shown.index("baseline seed 0") < shown.index("c1 seed 0"), "the best first"
    assert "6 matching runs" in shown

    chosen = quote(json.dumps([best.mlflow_run_id, baseline.mlflow_run_id]))
    browser.get(f"{address}/#/compare-runs?runs={chosen}&experiments={quote(json.dumps(['1']))}")
    wait(lambda: "Parallel Coordinates Plot" in text(browser), "comparison")
    plot = wait(lambda: browser.find_elements("css selector", ".parcoords"), "parallel coordinates")
    browser.save_screenshot(str(tmp_path / "parallel.png"))
    assert plot[0].size["height"] > 100
    assert "optim.lr" in text(browser)
