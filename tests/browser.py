"""Chromium without a window, for tests of pages and for pictures of them."""

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if CHROMIUM and CHROMEDRIVER else "needs Debian's chromium and chromium-driver"
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "hide-scrollbars"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
)
DESKTOP, PHONE = (1280, 900), (390, 844)


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
            say(
                browser,
                "Emulation.setDeviceMetricsOverride",
                **{"width": size[0], "height": size[1], "deviceScaleFactor": 1},
                mobile=size == PHONE,
            )
            prefers = {"color-scheme": "dark" if dark else "light", "reduced-motion": "reduce"}
            features = [{"name": f"prefers-{key}", "value": v} for key, v in prefers.items()]
            say(browser, "Emulation.setEmulatedMedia", features=features)
            yield browser
        finally:
            browser.quit()


def say(browser: Chrome, command: str, **arguments: Any) -> dict[str, Any]:
    """Say something of the DevTools protocol to the browser."""
    answer: dict[str, Any] = browser.execute_cdp_cmd(command, arguments)
    return answer


def picture(browser: Chrome, path: Path, height: int) -> None:
    """Write a PNG of the page's top, however high the window is."""
    time.sleep(1)  # for what moves to come to rest
    clip = {"x": 0, "y": 0, "height": height, "scale": 1}
    clip["width"] = browser.execute_script("return innerWidth")  # type: ignore[no-untyped-call]
    shot = say(browser, "Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    path.write_bytes(base64.b64decode(shot["data"]))
