"""How soon the page shows something: in Chromium, beside an empty page of the same server.

::

    a window without cache ── navigation starts ── ... ── what was waited for is in the document
                              0                           and drawn in a frame: the figure

The empty page is the log-in page: HTML, one style sheet, no script.  It is opened in turn with
the others, each time in a window of its own, and the median of each counts.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import requests
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benches.bench_store import opened
from benches.node import Node
from simvue.server.store.sqlite import SQLiteStore

RUNS = 10_000
TIMES = 7
BATCH = 5_000
"""Runs of one request: the server takes more, this is what it takes in a second."""

# As root a Chromium needs to be told that it has no sandbox.  Behind each new window it loads two
# pages of its own, for the list below its address bar, which nobody sees here: 0.7 s of a core
# while ours is loading, and no longer when a reader opens a page in a window that is there.
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-features=WebUIOmniboxAimPopup,WebUIOmniboxPopup",
)

WINDOW: ViewportSize = {"width": 1280, "height": 900}

PATIENCE_MS = 60_000
"""How long a page may take before the bench fails; the slowest here takes a fortieth of it."""

# Two frames: in the first the browser draws what the second finds drawn.
WATCH = """
window.seen = new Promise((seen, failed) => {
  const there = () => document.querySelectorAll(SELECTOR).length;
  const look = () => {
    if (there() < COUNT) return;
    eye.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => seen(performance.now())));
  };
  setTimeout(() => failed(new Error(`not drawn in time: ${there()} of COUNT`)), PATIENCE);
  const eye = new MutationObserver(look);
  eye.observe(document, { childList: true, subtree: true, attributeFilter: ["aria-label"] });
});
"""


class Looker:
    """A Chromium that opens pages of *node* and says when they showed something."""

    def __init__(self, chromium: Browser, node: Node) -> None:
        self._chromium = chromium
        self._node = node

    @contextlib.contextmanager
    def window(self, known: bool = True, size: ViewportSize = WINDOW) -> Iterator[Page]:
        """Open a window without a cache; a browser that is not *known* has no token."""
        context = self._chromium.new_context(base_url=self._node.url, viewport=size)
        if known:
            form: dict[str, str | float | bool] = {
                "token": self._node.token,
                "next": "/ui/icon.svg",
            }
            context.request.post("/login", form=form, headers={"Origin": self._node.url})
        yield context.new_page()
        context.close()

    def first_ms(
        self,
        path: str,
        selector: str,
        count: int = 1,
        known: bool = True,
        size: ViewportSize = WINDOW,
    ) -> float:
        """Return the milliseconds from the start of the navigation until *selector* is drawn.

        Of *count* elements, all must be there; raises playwright's Error if they never are.
        """
        watch = WATCH.replace("SELECTOR", json.dumps(selector)).replace("COUNT", str(count))
        with self.window(known, size) as page:
            page.add_init_script(watch.replace("PATIENCE", str(PATIENCE_MS)))
            page.goto(path, wait_until="commit")
            seen: float = page.evaluate("window.seen")
            return seen

    def empty_ms(self, size: ViewportSize = WINDOW) -> float:
        """Return the same of the empty page."""
        return self.first_ms("/login", "main", known=False, size=size)


@contextlib.contextmanager
def looking(
    fill: Callable[[SQLiteStore], None] = lambda store: None,
) -> Iterator[tuple[Looker, Node]]:
    """Start a server of the bench's own, over a store that *fill* has filled, and a Chromium."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path is not None, "needs chromium (Debian: chromium)"
    with (
        tempfile.TemporaryDirectory(dir=".") as directory,
        _filled(Path(directory), fill) as node,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield Looker(chromium, node), node
        chromium.close()


def _filled(directory: Path, fill: Callable[[SQLiteStore], None]) -> Node:
    with opened(directory / "data") as store:
        fill(store)
    return Node(directory)


def make_runs(node: Node, count: int) -> None:
    """Register *count* runs, each with some metadata and tags."""
    for first in range(0, count, BATCH):
        batch = [
            {
                "name": f"run-{i:05d}",
                "folder": f"/campaign/{i % 20:02d}",
                "status": "completed",
                "tags": [f"tag-{i % 7}", "bench"],
                "metadata": {"rate": i / count, "mesh": {"size": 2 ** (i % 10)}, "solver": "cg"},
            }
            for i in range(first, min(count, first + BATCH))
        ]
        headers = {"Authorization": f"Bearer {node.token}"}
        answer = requests.post(f"{node.url}/api/runs", json=batch, headers=headers, timeout=300)
        answer.raise_for_status()
        assert len(answer.json()) == len(batch)


def measure(runs: int = RUNS, times: int = TIMES) -> dict[str, float]:
    """Return milliseconds until the table of *runs* runs shows rows, and of the empty page."""
    with looking() as (looker, node):
        make_runs(node, runs)
        table, empty = [], []
        for _ in range(times):
            empty.append(looker.empty_ms())
            table.append(looker.first_ms("/dashboard/runs", ".runs a.name"))
    return {"table_ms": median(table), "empty_ms": median(empty)}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
