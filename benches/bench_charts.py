"""What charts cost, until they are drawn and while a run goes on: in Chromium, by an empty page.

* a run of 1,000 metrics, from the start of the navigation until the charts on screen are drawn;
* 20 runs in each of 12 charts, beside the table of runs;
* one chart of 10^6 rows that are folded, from the wish to see it until it is drawn, on a page that
  is open; with an option one of 10^8, which fills a store for minutes first;
* 12 charts of a run that is sent rows ten times a second: the time between frames, beside that
  of the empty page, and the memory after a collection.

``python -m benches.bench_charts 100000000`` has the large chart, and takes five minutes.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import msgpack
import requests
from playwright.sync_api import Page, ViewportSize, expect

from benches.bench_page import PATIENCE_MS, Looker, looking
from benches.bench_store import fold_all, post
from benches.bench_store import new_run as new_run_in
from benches.node import Node
from simvue.server.store.sqlite import SQLiteStore

TIMES = 5
METRICS = 1_000
RUNS = 20
CHARTS = 12
ROWS = 1_000
MILLION = 1_000_000
RATE_HZ = 10
LIVE_S = 60.0
HEAPS = 8
HEAPS_APART_MS = 130
"""Not a divisor of the pause between two looks of a page that is live."""
LARGE: ViewportSize = {"width": 2560, "height": 2000}
"""A screen that shows twelve charts beside the table."""

FRAMES = """
(milliseconds) => new Promise((told) => {
  const gaps = [];
  let before = performance.now();
  const until = before + milliseconds;
  const frame = () => {
    const now = performance.now();
    gaps.push(now - before);
    before = now;
    if (now < until) requestAnimationFrame(frame);
    else told(gaps);
  };
  requestAnimationFrame(frame);
})
"""

# From the key that asks for the chart until the frame after it was drawn.
FIND = """
([rows, patience]) => new Promise((told, failed) => {
  const field = document.querySelector("input[aria-label='Find a metric']");
  const begun = performance.now();
  const look = () => {
    if (document.querySelector(`.plot[aria-label*="${rows} rows"]`)) {
      requestAnimationFrame(() => told(performance.now() - begun));
    } else if (performance.now() - begun > patience) {
      failed(new Error(`no chart of ${rows} rows`));
    } else {
      requestAnimationFrame(look);
    }
  };
  field.value = "";
  field.dispatchEvent(new Event("input"));
  look();
})
"""


def new_run(node: Node, name: str, status: str = "completed") -> str:
    answer = requests.post(
        f"{node.url}/api/runs",
        json={"name": name, "folder": "/bench", "status": status},
        headers={"Authorization": f"Bearer {node.token}"},
        timeout=30,
    )
    answer.raise_for_status()
    made: str = answer.json()["id"]
    return made


def send(node: Node, run: str, names: list[str], first: int, end: int) -> None:
    """Send rows *first* to *end* of *run*, with a value for each of *names*."""
    rows = [
        {
            "step": step,
            "time": step / RATE_HZ,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(1.7e9 + step)),
            "values": {name: math.sin(step / 100 + i) for i, name in enumerate(names)},
        }
        for step in range(first, end)
    ]
    answer = requests.post(
        f"{node.url}/api/metrics",
        data=msgpack.packb({"run": run, "metrics": rows}),
        headers={"Authorization": f"Bearer {node.token}", "Content-Type": "application/msgpack"},
        timeout=300,
    )
    answer.raise_for_status()
    assert answer.json()["stored"] == len(rows)


def first_paints(looker: Looker, node: Node, times: int) -> dict[str, float]:
    """Return milliseconds until a run of many metrics, and many runs over each other, are drawn."""
    wide = new_run(node, "wide")
    send(node, wide, [f"part{i // 100}/m{i:03d}" for i in range(METRICS)], 0, 20)
    runs = []
    for i in range(RUNS):
        runs.append(new_run(node, f"run {i}"))
        send(node, runs[-1], [f"metric{k:02d}" for k in range(CHARTS)], 0, ROWS)
    taken: dict[str, list[float]] = {"empty": [], "wide": [], "empty large": [], "overlay": []}
    for _ in range(times):
        taken["empty"].append(looker.empty_ms())
        drawn = ".plot[aria-label*=' rows,']"
        taken["wide"].append(looker.first_ms(f"/dashboard/runs/run/{wide}", drawn, count=4))
        taken["empty large"].append(looker.empty_ms(LARGE))
        whole = f".plot[aria-label*='{RUNS} runs, {RUNS * ROWS:,} rows']"
        path = f"/dashboard/runs?runs={','.join(runs)}"
        taken["overlay"].append(looker.first_ms(path, whole, count=CHARTS, size=LARGE))
    return {f"{name} ms": median(found) for name, found in taken.items()}


def one_chart(looker: Looker, run: str, rows: int, times: int) -> float:
    """Return milliseconds from the wish to see a chart of *rows* rows until it is drawn."""
    taken: list[float] = []
    with looker.window() as page:
        for _ in range(times):
            page.goto(f"/dashboard/runs/run/{run}?metric=none")
            page.wait_for_selector(".charts .empty:not([hidden])")
            taken.append(page.evaluate(FIND, [f"{rows:,}", PATIENCE_MS]))
    return median(taken)


@contextmanager
def growing(node: Node, run: str, names: list[str]) -> Iterator[None]:
    """Send a row to *run* ten times a second."""
    ended = threading.Event()

    def grow() -> None:
        step = ROWS
        while not ended.wait(1 / RATE_HZ):
            send(node, run, names, step, step + 1)
            step += 1

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def heap(page: Page) -> float:
    """Return the bytes that scripts hold after a collection, at the quietest of some moments.

    An answer that has just come is alive and weighs a tenth of all else.
    """
    session = page.context.new_cdp_session(page)
    used: list[float] = []
    for _ in range(HEAPS):
        session.send("HeapProfiler.collectGarbage")
        used.append(session.send("Runtime.getHeapUsage")["usedSize"])
        page.wait_for_timeout(HEAPS_APART_MS)
    session.detach()
    return min(used)


def live(looker: Looker, node: Node, seconds: float) -> dict[str, float]:
    """Return what is between frames of 12 charts that grow, and of the empty page, in ms."""
    names = [f"metric{k:02d}" for k in range(CHARTS)]
    run = new_run(node, "live", "running")
    send(node, run, names, 0, ROWS)
    with looker.window(known=False, size=LARGE) as page:
        page.goto("/login")
        empty = page.evaluate(FRAMES, seconds * 1000)
    with looker.window(size=LARGE) as page, growing(node, run, names):
        page.goto(f"/dashboard/runs/run/{run}")
        expect(page.locator(".plot[aria-label*=' rows']")).to_have_count(CHARTS)
        page.evaluate(FRAMES, seconds * 250)
        before = heap(page)
        gaps = page.evaluate(FRAMES, seconds * 1000)
        after = heap(page)
        # It was live: every chart has nearly all rows that were sent by now.
        shown = page.evaluate("document.querySelector('.plot').ariaLabel.match(/: ([\\d,]+)/)[1]")
        assert int(shown.replace(",", "")) > ROWS + 0.5 * seconds * RATE_HZ, shown
    return {
        "live p99": centile(gaps, 0.99),
        "live max": max(gaps),
        "empty p99": centile(empty, 0.99),
        "empty max": max(empty),
        "memory": after / before,
    }


def centile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(
    seconds: float = LIVE_S, times: int = TIMES, rows: int = MILLION, large: int = 0
) -> dict[str, float]:
    """Return all figures; *large* is the number of rows of a second long chart, if there is one."""
    long: dict[int, str] = {}

    def fill(store: SQLiteStore) -> None:
        # As a run is whose rows came long ago: none of them waits to be folded.
        for count in filter(None, (rows, large)):
            long[count] = new_run_in(store)
            post(store, long[count], "smooth", count, 1)
            fold_all(store, long[count])

    with looking(fill) as (looker, node):
        found: dict[str, float] = first_paints(looker, node, times)
        found["chart ms"] = one_chart(looker, long[rows], rows, times)
        found["large ms"] = one_chart(looker, long[large], large, times) if large else math.nan
        found |= live(looker, node, seconds)
    return found


if __name__ == "__main__":
    print(json.dumps(measure(large=int((sys.argv[1:] or ["0"])[0])), indent=2))
