"""Chromium without a window, for tests of pages and for pictures of them."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if CHROMIUM and CHROMEDRIVER else "needs Debian's chromium and chromium-driver"
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "hide-scrollbars"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
)
DESKTOP, PHONE = (1280, 900), (390, 844)
READY = """
return document.querySelectorAll('.chart:not(.js-plotly-plot), .chart:empty').length === 0
    && document.querySelectorAll('table.display .dtcc-search input').length > 0"""
"""Whether all charts are drawn, and the table can be searched."""


@contextmanager
def chromium(size: tuple[int, int] = DESKTOP, dark: bool = False) -> Iterator[Chrome]:
    """Give a browser of the size, for whom prefers light or dark; it ends with the block."""
    with TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for flag in (*FLAGS, f"user-data-dir={profile}", "window-size={},{}".format(*size)):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        browser = Chrome(options, Service(CHROMEDRIVER))
        try:
            look_as(browser, size, dark)
            yield browser
        finally:
            browser.quit()


def look_as(browser: Chrome, size: tuple[int, int], dark: bool = False, media: str = "") -> None:
    """Make the browser one of a size, for whom prefers light or dark, or as if on paper."""
    say(
        browser,
        "Emulation.setDeviceMetricsOverride",
        **{"width": size[0], "height": size[1], "deviceScaleFactor": 1},
        mobile=size == PHONE,
    )
    prefers = {"color-scheme": "dark" if dark else "light", "reduced-motion": "reduce"}
    features = [{"name": f"prefers-{key}", "value": v} for key, v in prefers.items()]
    say(browser, "Emulation.setEmulatedMedia", features=features, media=media)


def open_in(browser: Chrome, file: Path) -> None:
    """Open a page, and wait until all that is drawn in it is there."""
    browser.get(file.as_uri())
    wait_until_drawn(browser)


def wait_until_drawn(browser: Chrome) -> None:
    """Wait until all charts and tables of the page are there."""
    WebDriverWait(browser, 60, poll_frequency=0.1).until(lambda b: run(b, READY))


def run(browser: Chrome, script: str) -> Any:
    """Run a script in the page and return what it returns."""
    return browser.execute_script(script)  # type: ignore[no-untyped-call]


def complaints(browser: Chrome) -> list[Any]:
    """Return what the console has, which is then empty."""
    log: list[Any] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return log


def requests(browser: Chrome) -> list[str]:
    """Return what was asked for since the last time."""
    events = browser.get_log("performance")  # type: ignore[no-untyped-call]
    sent = [json.loads(event["message"])["message"] for event in events]
    return [
        s["params"]["request"]["url"] for s in sent if s["method"] == "Network.requestWillBeSent"
    ]


def choose(browser: Chrome, chart: str, label: str, option: str) -> None:
    """Choose an option in a list of a chart."""
    control = browser.find_element(By.CSS_SELECTOR, f'[data-chart="{chart}"][name="{label}"]')
    Select(control).select_by_visible_text(option)


def say(browser: Chrome, command: str, **arguments: Any) -> dict[str, Any]:
    """Say something of the DevTools protocol to the browser."""
    answer: dict[str, Any] = browser.execute_cdp_cmd(command, arguments)
    return answer


def picture(browser: Chrome, path: Path, height: int) -> None:
    """Write a PNG of the page's top, however high the window is."""
    time.sleep(1)  # for what moves to come to rest
    clip = {"x": 0, "y": 0, "height": height, "scale": 1}
    clip["width"] = run(browser, "return innerWidth")
    shot = say(browser, "Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    path.write_bytes(base64.b64decode(shot["data"]))
