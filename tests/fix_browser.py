"""A real Chromium: ``browser`` is logged in to the shared server, ``stranger`` is not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fix_server import Server
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement

# A page polls each second; this is for a machine that is busy with everything else.
PATIENCE_S = 30
# Short against a poll of the page, long against a question to the browser.
LOOK_S = 0.05

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,950",
)

Found = TypeVar("Found")


class Browser:
    """One Chromium with a profile of its own, driven at one server."""

    def __init__(self, server: Server, profile: Path) -> None:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        driver = shutil.which("chromedriver")
        if chromium is None or driver is None:
            missing = "needs chromium and chromedriver (Debian: chromium chromium-driver)"
            # `make test` installs them; a CI without them must not pass for it.
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.server = server
        self.driver = webdriver.Chrome(options=options, service=Service(driver))

    def open(self, path: str) -> None:
        """Load the page at *path* of the server."""
        self.driver.get(self.server.url + path)

    def log_in(self) -> None:
        """Show the token once, as the URL does that the server prints."""
        self.open(f"/?token={self.server.token}")

    def open_run(self, run: str, query: str = "") -> None:
        """Load the page of a run."""
        self.open(f"/dashboard/runs/run/{run}{query}")

    def all(self, selector: str) -> list[WebElement]:
        """Return every element that fits the CSS selector now."""
        return list(self.driver.find_elements("css selector", selector))

    def see(self, what: Callable[[], Found | None], why: str) -> Found:
        """Wait until *what* returns something true, and return it; *why* is for the failure."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                if found := what():
                    return found
            except (NoSuchElementException, StaleElementReferenceException):
                # The page was just drawing that part anew.
                pass
            if time.monotonic() > until:
                body = self.driver.find_element("css selector", "body").text
                raise AssertionError(f"never seen: {why}; the page says:\n{body}")
            time.sleep(LOOK_S)

    def chart(self, metric: str) -> WebElement:
        """Wait for the chart of *metric*, and return its plot."""
        selector = f"article[aria-label='{metric}'] .plot"
        return self.see(lambda: next(iter(self.all(selector)), None), f"the chart of {metric}")

    def see_label(self, metric: str, *parts: str) -> str:
        """Wait until the chart of *metric* says every one of *parts* to those who cannot see it."""
        plot = self.chart(metric)

        def label() -> str | None:
            text = plot.get_attribute("aria-label") or ""
            return text if all(part in text for part in parts) else None

        return self.see(label, f"{parts} in the label of {metric}")

    def drag(self, metric: str, left: float, right: float) -> None:
        """Drag over the plot of *metric*, from one part of its width to another (0 to 1)."""
        area = self.chart(metric).find_element("css selector", ".u-over")
        width = area.size["width"]
        hand = ActionChains(self.driver)
        hand.move_to_element_with_offset(area, round((left - 0.5) * width), 0).click_and_hold()
        hand.move_by_offset(round((right - left) * width), 0).release().perform()

    def double_click(self, metric: str) -> None:
        """Double-click in the middle of the plot of *metric*."""
        area = self.chart(metric).find_element("css selector", ".u-over")
        ActionChains(self.driver).double_click(area).perform()

    def asked(self, part: str) -> list[str]:
        """Return the addresses asked for since the page was loaded that contain *part*."""
        urls: list[str] = self.driver.execute_script(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        )
        return [url for url in urls if part in url]

    def ink(self, metric: str) -> int:
        """Count the pixels of the plot of *metric* that have, nearly, the colour of its run."""
        count: int = self.driver.execute_script(
            """
            const [plot, dot] = arguments;
            const hue = getComputedStyle(dot).backgroundColor.match(/\\d+/g).map(Number);
            const drawn = plot.querySelector("canvas");
            const { width, height } = drawn;
            // A copy: reading a canvas back would slow the page's own for good.
            const copy = new OffscreenCanvas(width, height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(drawn, 0, 0);
            const { data } = context.getImageData(0, 0, width, height);
            // The edges of a line are blended; the band's are much fainter than this.
            const near = (a, b) => Math.abs(a - b) < 24;
            let count = 0;
            for (let i = 0; i < data.length; i += 4) {
              count += [...hue, 255].every((part, j) => near(data[i + j], part));
            }
            return count;
            """,
            self.chart(metric),
            self.driver.find_element("css selector", ".headline .dot"),
        )
        return count

    def run_module(self, module: str, body: str, *arguments: Any) -> Any:
        """Return what *body*, a function body, makes of *it*, a module of ``/ui/``, and *rest*."""
        answer = self.driver.execute_async_script(
            f"""
            const [path, ...rest] = arguments;
            const done = rest.pop();
            const work = (it) => {{ {body} }};
            import(path).then(work).then((value) => ({{ value }}))
              .catch((error) => ({{ error: String(error) }})).then(done);
            """,
            f"/ui/{module}",
            *arguments,
        )
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def complaints(self) -> list[str]:
        """Return what the console complained of since the last look."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] in ("WARNING", "SEVERE")]

    def log_text(self) -> str:
        """Return the console's log, for a failure."""
        return "\n".join(self.complaints())


@pytest.fixture(scope="session")
def chromium(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for the session: a start costs seconds, a page load does not."""
    running = Browser(server, tmp_path_factory.mktemp("profile"))
    yield running
    running.driver.quit()


@pytest.fixture
def stranger(chromium: Browser) -> Browser:
    """A browser that the server does not know."""
    chromium.open("/login")
    chromium.driver.delete_all_cookies()
    chromium.complaints()
    return chromium


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser that is logged in; at the end its console must have nothing to complain of.

    So a script or style that the server's content security policy refuses fails every test.
    """
    chromium.log_in()
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
