"""Debian's Chromium without a window, for tests that look at a page.

from tests.browser import browser  # noqa: F401 - a fixture

def test_a_page(browser): browser.get(address); console(browser); browser.save_screenshot(...)
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: A first run, a look for updates or a sync would be requests that no page has made.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--window-size=1600,1000",
]
MISSING = "needs Debian's packages chromium and chromium-driver"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A Selenium driver with a profile of its own, that logs its console and its network."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip(MISSING)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()


def console_errors(driver: Any) -> list[str]:
    """What the page has complained of since the last look."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
