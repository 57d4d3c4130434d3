"""What folding gives: bytes a point, charts of long series, and what it costs those who write.

In one process, without HTTP, on an embedded store whose commits are synced.  Two mixes of five
metrics a row, whose clock is read to the nanosecond, about once a millisecond:

* *smooth*: what a solver prints: an oscillation, a decay, a ramp, a flux, a count of iterations;
* *noisy*: a random walk, noise of single precision, an accuracy of k in 1,000, noise of a
  sensor with a hundredth as its last digit, a temperature with a thousandth.

Every figure is checked: what is read back equals what was sent, and buckets hold every row.

``python -m benches.bench_store`` takes a few minutes and a gigabyte: the longest series has 10^8
rows.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from simvue._columns import Block, Rows
from simvue.server.store import Span
from simvue.server.store.sqlite import SQLiteStore

NAMES = tuple(f"m{i}" for i in range(5))
BODY = 20_000
"""Rows of a body: some 4 MiB on the wire with five metrics, as the shipper sends at full speed."""

START_US = 1_760_000_000_000_000
MILLION = 1_000_000
PIXELS = 1000
LOOKS = 9
"""Charts are drawn so often, and the best counts: the machine is not alone."""


def smooth(numbers: np.ndarray[Any, Any], _: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    t = numbers * 1e-3
    return [np.sin(t), np.exp(-t * 1e-3), 0.5 + t * 1e-4, np.tanh(t * 1e-2) * 3, np.floor(t / 7)]


def noisy(
    numbers: np.ndarray[Any, Any], generator: np.random.Generator
) -> list[np.ndarray[Any, Any]]:
    count = len(numbers)
    return [
        1 + np.cumsum(generator.normal(scale=1e-3, size=count)),
        generator.normal(size=count).astype(np.float32).astype(np.float64),
        generator.integers(900, 1000, count) / 1000,
        np.round(generator.normal(scale=20, size=count), 2),
        np.round(300 + np.sin(numbers * 1e-4) + generator.normal(scale=0.1, size=count), 3),
    ]


MIXES = {"smooth": smooth, "noisy": noisy}


def make_rows(mix: str, first: int, end: int, metrics: int = len(NAMES)) -> Rows:
    """Make rows *first* to *end*: the same whenever it is asked."""
    generator = np.random.default_rng(first)
    numbers = np.arange(first, end)
    nanoseconds = numbers * 1_000_000 + generator.integers(0, 10_000, end - first)
    words = np.empty((3 + metrics, end - first), np.uint64)
    words[0] = numbers
    words[1] = (nanoseconds * 1e-9).view(np.uint64)
    words[2] = START_US + nanoseconds // 1000
    for metric, values in enumerate(MIXES[mix](numbers, generator)[:metrics]):
        words[3 + metric] = values.view(np.uint64)
    return Rows("", end - first, [Block(NAMES[:metrics], bytes(metrics), None, words)])


@contextmanager
def opened(directory: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(str(directory))
    try:
        yield store
    finally:
        store.close()


def new_run(store: SQLiteStore) -> str:
    return store.create_run({"folder": "/", "status": "running"}, "bench")[0]


def post(store: SQLiteStore, run: str, mix: str, count: int, metrics: int = len(NAMES)) -> float:
    """Store *count* rows; return the seconds that the store took for them."""
    taken = 0.0
    for first in range(0, count, BODY):
        rows = make_rows(mix, first, min(count, first + BODY), metrics)
        begun = time.perf_counter()
        store.add_metrics(run, rows, Span("w", first, first + rows.count))
        taken += time.perf_counter() - begun
    return taken


def fold_all(store: SQLiteStore, run: str) -> float:
    """End *run* and fold all that it has; return the seconds that it takes."""
    store.update_run(run, {"status": "completed"})
    begun = time.perf_counter()
    while store.fold():
        pass
    return time.perf_counter() - begun


def sizes(count: int) -> dict[str, float]:
    """Return bytes a point of both mixes, as they came and folded, and the speed of folding."""
    figures = {}
    for mix in MIXES:
        with tempfile.TemporaryDirectory() as directory, opened(Path(directory)) as store:
            run = new_run(store)
            empty = used(store)
            post(store, run, mix, count)
            points = count * len(NAMES)
            figures[f"{mix} bytes raw"] = (used(store) - empty) / points
            figures[f"{mix} points_per_s"] = points / fold_all(store, run)
            figures[f"{mix} bytes"] = (used(store) - empty) / points
            _check(store, run, mix, count)
    return figures


def used(store: SQLiteStore) -> int:
    """Return the bytes of the database that are in use, all included."""
    with store._reading() as connection:
        size, pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
    return int(size * (pages - free))


def _check(store: SQLiteStore, run: str, mix: str, count: int) -> None:
    found = store.series(run, NAMES)
    for first in range(0, count, BODY):
        sent = make_rows(mix, first, min(count, first + BODY)).blocks[0]
        for metric, name in enumerate(NAMES):
            there = found[name]
            here = slice(first, first + len(sent))
            assert (there.values[here] == sent.values[metric]).all()
            assert (there.time[here] == sent.time).all()
            assert (there.timestamp[here] == sent.timestamp).all()
    assert len(found[NAMES[0]].step) == count


def charts(largest: int) -> dict[str, float]:
    """Return the milliseconds that a thousand pixels take: of a million rows, and of *largest*."""
    figures = {}
    with tempfile.TemporaryDirectory() as directory, opened(Path(directory)) as store:
        for what, count in (("million", MILLION), ("largest", largest)):
            run = new_run(store)
            post(store, run, "smooth", count, 1)
            fold_all(store, run)
            for zoom, start, end in (("", None, None), (" zoomed", count * 0.4, count * 0.5)):
                figures[f"{what}{zoom} ms"] = _chart_ms(store, run, start, end, count)
    return figures


def _chart_ms(
    store: SQLiteStore, run: str, start: float | None, end: float | None, count: int
) -> float:
    best = float("inf")
    for _ in range(LOOKS):
        begun = time.perf_counter()
        found = store.cut(run, NAMES[:1], "step", PIXELS, start, end)[NAMES[0]]
        best = min(best, time.perf_counter() - begun)
        assert len(found.count) == PIXELS
        wanted = count if start is None or end is None else int(end) - int(start) + 1
        assert found.count.sum() == wanted
    return best * 1e3


def ingest(count: int) -> dict[str, float]:
    """Return points a second of two writers, alone and while a third thread folds, and waits.

    The waits are those of a small write each few milliseconds beside the folding of what two
    writers have sent, with nobody else writing: what a step of folding holds up.
    """
    figures = {}
    for what in ("alone", "folding"):
        with tempfile.TemporaryDirectory() as directory, opened(Path(directory)) as store:
            runs = [new_run(store), new_run(store)]
            ended = threading.Event()

            def fold(store: SQLiteStore = store, ended: threading.Event = ended) -> None:
                while not ended.wait(0 if store.fold() else 0.05):
                    pass

            folder = threading.Thread(target=fold)
            if what == "folding":
                folder.start()
            # Rows are made beforehand: this is about the store.
            bodies = [make_rows("smooth", first, first + BODY) for first in range(0, count, BODY)]

            def send(run: str, store: SQLiteStore = store, bodies: list[Rows] = bodies) -> None:
                for place, rows in enumerate(bodies):
                    span = Span("w", place * BODY, (place + 1) * BODY)
                    assert store.add_metrics(run, rows, span).stored == BODY

            begun = time.perf_counter()
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(send, runs))
            points = 2 * len(bodies) * BODY * len(NAMES)
            figures[f"ingest {what}"] = points / (time.perf_counter() - begun)
            ended.set()
            if what == "folding":
                folder.join()
            else:
                figures |= _waits(store, runs)
    return figures


def _waits(store: SQLiteStore, runs: list[str]) -> dict[str, float]:
    """Fold all that *runs* have; return how long small writes take, before and meanwhile."""
    waits: dict[str, list[float]] = {"idle": [], "folding": []}
    ended = threading.Event()
    state = "idle"

    def beat() -> None:
        while not ended.wait(0.003):
            begun = time.perf_counter()
            kind = state
            store.beat(runs[0])
            waits[kind].append(time.perf_counter() - begun)

    beating = threading.Thread(target=beat)
    beating.start()
    while len(waits["idle"]) < 50:
        time.sleep(0.01)
    state = "folding"
    for run in runs:
        fold_all(store, run)
    ended.set()
    beating.join()
    return {
        f"write {kind} {name}": float(np.percentile(found, share)) * 1e3
        for kind, found in waits.items()
        for name, share in (("p50", 50), ("p99", 99))
    }


def measure(scale: float = 1.0) -> dict[str, float]:
    """Return all figures; *scale* 1 has a series of 10^8 rows, smaller ones in proportion."""
    count = max(BODY, int(2 * MILLION * min(1.0, scale * 10)))
    return {
        **sizes(count),
        **charts(max(MILLION, int(100 * MILLION * scale))),
        **ingest(count),
    }


if __name__ == "__main__":
    print(json.dumps(measure(*map(float, sys.argv[1:])), indent=2))
