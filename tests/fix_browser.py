"""A real Chromium: ``browser`` is logged in to the shared server, ``stranger`` is not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from axe_playwright_python.sync_playwright import Axe
from fix_server import Server
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Locator, Request, expect, sync_playwright

from benches.bench_page import FLAGS

# A page hears of changes within a second; this is for a machine busy with everything else.
PATIENCE_S = 30
# Short against what a page takes to change, long against a question to the browser.
LOOK_S = 0.05

expect.set_options(timeout=PATIENCE_S * 1000)

Found = TypeVar("Found")


class Browser:
    """One window with cookies and storage of its own, at one server.

    ``page`` is Playwright's; what is below it are the words of our tests.  Collects what the
    console complains of and which requests go to any other server.
    """

    def __init__(self, chromium: Chromium, server: Server, **options: Any) -> None:
        self.server = server
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        self.context = chromium.new_context(base_url=server.url, **options)
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self._complaints: list[str] = []
        self._asked: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))
        self.page.on("request", self._note)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("warning", "error"):
            self._complaints.append(message.text)

    def _note(self, request: Request) -> None:
        self._asked.append(request.url)

    def log_in(self) -> None:
        """Get the cookie as the log-in form does, without drawing a page."""
        headers = {"Origin": self.server.url}
        form = {"token": self.server.token, "next": "/ui/icon.svg"}
        answer = self.context.request.post("/login", form=form, headers=headers)
        assert answer.ok, answer.text()

    def open(self, path: str) -> None:
        """Load the page at *path* of the server."""
        self._asked.clear()
        self.page.goto(path, wait_until="commit")

    def open_run(self, run: str, query: str = "") -> None:
        """Load the page of a run."""
        self.open(f"/dashboard/runs/run/{run}{query}")

    def find(self, selector: str, **options: Any) -> Locator:
        """Return what fits a selector, whenever it is used; Playwright waits for it."""
        return self.page.locator(selector, **options)

    def see(self, what: Callable[[], Found | None], why: str) -> Found:
        """Wait until *what* returns something true, and return it; *why* is for the failure."""
        until = time.monotonic() + PATIENCE_S
        while not (found := what()):
            if time.monotonic() > until:
                body = self.page.inner_text("body")
                raise AssertionError(f"never seen: {why}; the page says:\n{body}")
            self.page.wait_for_timeout(LOOK_S * 1000)
        return found

    def plot(self, metric: str) -> Locator:
        """Return the plot of the chart of *metric*."""
        return self.find(f"article[aria-label='{metric}'] .plot")

    def see_label(self, metric: str, *parts: str) -> str:
        """Wait until the chart of *metric* says every one of *parts* to those who cannot see it."""
        plot = self.plot(metric)

        def label() -> str | None:
            text = plot.get_attribute("aria-label") or ""
            return text if all(part in text for part in parts) else None

        return self.see(label, f"{parts} in the label of {metric}")

    def drag(self, metric: str, left: float, right: float) -> None:
        """Drag over the plot of *metric*, from one part of its width to another (0 to 1)."""
        area = self.plot(metric).locator(".u-over")
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + left * box["width"], middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + right * box["width"], middle, steps=3)
        self.page.mouse.up()

    def asked(self, part: str) -> list[str]:
        """Return the addresses asked for since the page was loaded that contain *part*."""
        return [url for url in self._asked if part in url]

    def ink(self, metric: str) -> int:
        """Count the pixels of the plot of *metric* that have, nearly, the colour of its run."""
        dot = self.find(".headline .dot").element_handle()
        count: int = self.plot(metric).evaluate(
            """
            (plot, dot) => {
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
            }
            """,
            dot,
        )
        return count

    def run_module(self, module: str, body: str, *arguments: Any) -> Any:
        """Return what *body*, a function body, makes of *it*, a module of ``/ui/``, and *rest*."""
        if self.page.url == "about:blank":
            self.open("/dashboard/nothing")
        return self.page.evaluate(
            f"""
            async ([path, ...rest]) => {{
              const it = await import(path);
              {body}
            }}
            """,
            [f"/ui/{module}", *arguments],
        )

    def barriers(self) -> list[str]:
        """Return what axe-core finds on the page that keeps people out: serious or worse."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{item['id']}: {node['html'][:200]}"
            for item in found
            if item["impact"] in ("serious", "critical")
            for node in item["nodes"]
        ]

    def complaints(self) -> list[str]:
        """Return what the console complained of since the last look, and who else was asked."""
        found, self._complaints = self._complaints, []
        ours = (f"{self.server.url}/", "data:", "blob:", "about:")
        return found + [f"asked {url}" for url in self._asked if not url.startswith(ours)]

    def log_text(self) -> str:
        """Return the console's log, for a failure."""
        return "\n".join(self.complaints())


# For one file of tests: Playwright keeps an event loop in the thread while it runs, so tests
# that run one of their own must not come in between.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """A Chromium, Debian's where there is one: a start takes a second, a window does not."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        missing = "needs chromium (Debian: chromium)"
        # `make test` installs it; a CI without it must not pass for it.
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def stranger(chromium: Chromium, server: Server) -> Iterator[Browser]:
    """A browser that the server does not know."""
    window = Browser(chromium, server)
    yield window
    window.context.close()


@pytest.fixture
def browser(stranger: Browser) -> Iterator[Browser]:
    """A browser that is logged in; at the end its console must have nothing to complain of.

    So a script or style that the server's content security policy refuses fails every test,
    and so does a request to another server.
    """
    stranger.log_in()
    yield stranger
    assert stranger.complaints() == []


@pytest.fixture(scope="module")
def bench(chromium: Chromium, server: Server) -> Iterator[Browser]:
    """One window for all: functions leave nothing behind."""
    window = Browser(chromium, server)
    window.log_in()
    yield window
    window.context.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
