"""The server on each engine, through HTTP: what it takes in while it folds, and how it answers.

::

    senders (processes) ── bodies of 4 MiB ──> node ──> SQLite
    senders (processes) ── bodies of 4 MiB ──> 2 nodes ──> PostgreSQL, blobs in a folder

Senders post rows that were encoded beforehand, to one run after the other, so that what is
measured is the server; all share this machine's processors.  Every row is counted in the end,
and sums are compared.  Charts and lists are asked for through HTTP, each beside the smallest
request that there is, in the same moment: the difference is the server's time for the answer.

``python -m benches.bench_engines [seconds]`` starts real engines, and takes some minutes.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import requests

from benches.bench_ingest import make_body
from benches.bench_store import MILLION, PIXELS, make_rows
from benches.node import PATIENCE_S, Node
from simvue import wire
from simvue.cli.demo.engines import Postgres, room
from simvue.server.store import Span, Store, open_store

METRICS = 5
BODY_SIZE = 4 << 20
BODIES = 12
"""Of each run: some 2.5 million points."""

SENDERS = 2
RUNS = 100_000
OF_RUNS = 1_000
"""Runs whose last values are asked for."""

LOOKS = 15
"""Each question is asked so often, and the best counts: the machine is not alone."""


def headers_of(server: Node) -> dict[str, str]:
    """Return what a request to *server* needs."""
    return {"Authorization": f"Bearer {server.token}"}


# ---- What comes in ----------------------------------------------------------------------------


def _send(
    url: str, token: str, seed: int, seconds: float, answers: Queue[Any], started: Event
) -> None:
    """Post bodies for *seconds* from the start; answer what was acknowledged, by run."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    bodies = []
    first = 0
    for number in range(BODIES):
        body, count, total = make_body("R" * wire.ID_SIZE, METRICS, BODY_SIZE, seed + number, first)
        bodies.append((body, first, first + count, total))
        first += count
    answers.put("ready")
    started.wait()
    until = time.time() + seconds
    done: list[tuple[str, int, float]] = []
    while time.time() < until:
        run = session.post(
            f"{url}/api/runs", json={"folder": "/bench", "status": "running"}
        ).json()["id"]
        rows, total = 0, 0.0
        for body, begin, end, of_body in bodies:
            if time.time() >= until:
                break
            answer = session.post(
                f"{url}/api/metrics",
                data=body.replace(b"R" * wire.ID_SIZE, run.encode(), 1),
                headers={
                    "Content-Type": wire.MSGPACK,
                    wire.WRITER_HEADER: "W" * wire.ID_SIZE,
                    wire.ROWS_HEADER: wire.rows_header(begin, end),
                },
            )
            if answer.status_code == 200:
                rows, total = end, total + of_body
            elif answer.status_code != 503:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:200]}")
        session.put(f"{url}/api/runs/{run}", json={"status": "completed"})
        done.append((run, rows, total))
    answers.put(done)


def ingest(servers: list[Node], seconds: float) -> tuple[float, list[tuple[str, int, float]]]:
    """Send to *servers* for so long; return points a second, and what each run should hold."""
    fresh = multiprocessing.get_context("spawn")
    answers, started = fresh.Queue(), fresh.Event()
    processes = []
    for number in range(SENDERS):
        server = servers[number % len(servers)]
        seed = 1000 * number
        arguments = (server.url, server.token, seed, seconds, answers, started)
        processes.append(fresh.Process(target=_send, args=arguments))
        processes[-1].start()
    for _ in processes:
        assert answers.get(timeout=PATIENCE_S) == "ready"
    started.set()
    begun = time.time()
    done = [one for _ in processes for one in answers.get(timeout=seconds + PATIENCE_S)]
    taken = time.time() - begun
    for process in processes:
        process.join()
    return sum(rows for _, rows, _ in done) * METRICS / taken, done


def check(server: Node, done: list[tuple[str, int, float]]) -> None:
    """Hold what *server* has of each run against what was sent."""
    for run, rows, total in done:
        found = requests.get(f"{server.url}/api/runs/{run}", headers=headers_of(server)).json()
        summaries = found["metrics"].values()
        assert all(summary["count"] == rows for summary in summaries), (run, rows)
        there = sum(summary["average"] * summary["count"] for summary in summaries)
        assert abs(there - total) <= 1e-6 * abs(total), (run, there, total)


# ---- What is asked ----------------------------------------------------------------------------


def asked_ms(server: Node, path: str, **parameters: Any) -> tuple[float, Any]:
    """Return the milliseconds of one question beyond the smallest one, and the answer."""
    session = requests.Session()
    session.headers.update(headers_of(server))

    def best(where: str, given: dict[str, Any]) -> tuple[float, Any]:
        least, answer = float("inf"), None
        for _ in range(LOOKS):
            begun = time.perf_counter()
            answer = session.get(f"{server.url}/api{where}", params=given)
            least = min(least, time.perf_counter() - begun)
            assert answer.status_code == 200, answer.text
        return least, answer

    nothing, _ = best("/version", {})
    taken, answer = best(path, parameters)
    return max(0.0, taken - nothing) * 1e3, answer


def reader_p99(server: Node, run: str, seconds: float, busy: Callable[[float], None]) -> float:
    """Return the 99th percentile of a chart's time while *busy* runs, over that when idle."""
    session = requests.Session()
    session.headers.update(headers_of(server))
    parameters = {"metrics": '["m0"]', "max_points": PIXELS}

    def p99(until: Callable[[], bool]) -> float:
        times = []
        while not until() or len(times) < 100:
            begun = time.perf_counter()
            session.get(f"{server.url}/api/runs/{run}/series", params=parameters)
            times.append(time.perf_counter() - begun)
        return float(np.percentile(times, 99))

    idle = p99(lambda: True)
    writing = threading.Thread(target=busy, args=(seconds,))
    writing.start()
    while_busy = p99(lambda: not writing.is_alive())
    writing.join()
    return while_busy / idle


@dataclass
class Filled:
    """What a store was filled with: ids of the runs with a long series, and names to be found."""

    million: str = ""
    largest: str = ""
    chosen: tuple[str, ...] = ()


def fill(store: Store, largest: int, runs: int) -> Filled:
    """Put a long series, a longer one, and *runs* runs with attributes into *store*."""
    found = Filled()
    for what, count in (("million", MILLION), ("largest", largest)):
        run, _ = store.create_run({"folder": "/bench", "status": "running"}, "bench")
        setattr(found, what, run)
        for first in range(0, count, 20_000):
            end = min(count, first + 20_000)
            store.add_metrics(run, make_rows("smooth", first, end, 1), Span("w", first, end))
        store.update_run(run, {"status": "completed"})
        while store.fold() or store.pack():
            pass
    generator = np.random.default_rng(1)
    re, alpha = generator.integers(1000, size=runs), generator.random(runs)
    matching = np.flatnonzero((re == 500) & (alpha < 0.5))
    chosen = matching[np.argsort(alpha[matching])][:50]
    found.chosen = tuple(f"run {number}" for number in chosen.tolist())
    for first in range(0, runs, OF_RUNS):
        made = store.create_runs(
            [
                {
                    "folder": f"/scan/{number % 50}",
                    "name": f"run {number}",
                    "status": "completed",
                    "metadata": {
                        "re": int(re[number]),
                        "alpha": float(alpha[number]),
                        **{f"key{k}": number * k for k in range(18)},
                    },
                }
                for number in range(first, first + OF_RUNS)
            ],
            "bench",
        )
    for number, (run, _) in enumerate(made):
        store.add_metrics(run, make_rows("smooth", number, number + 20), Span("w", 0, 20))
    return found


def questions(server: Node, found: Filled) -> dict[str, float]:
    """Return the milliseconds that each of the table's questions takes."""
    figures = {}
    for what, run in (("million", found.million), ("largest", found.largest)):
        taken, answer = asked_ms(server, f"/runs/{run}/series", metrics='["m0"]', max_points=PIXELS)
        counts = msgpack.unpackb(answer.content)["m0"]["count"]
        figures[f"chart of {what} ms"] = taken
        assert len(counts) >= PIXELS
    taken, answer = asked_ms(server, "/runs", count=OF_RUNS, unwanted='["metadata", "system"]')
    values = [run["metrics"] for run in answer.json()["data"]]
    assert sum(len(one) == METRICS for one in values) >= OF_RUNS - 2
    figures["last values ms"] = taken
    taken, answer = asked_ms(
        server,
        "/runs",
        count=50,
        filters='["metadata.re == 500", "metadata.alpha < 0.5"]',
        sorting='[{"id": "metadata.alpha", "desc": false}]',
        unwanted='["metadata", "metrics", "system"]',
    )
    assert tuple(run["name"] for run in answer.json()["data"]) == found.chosen
    figures["filter and sort ms"] = taken
    return figures


# ---- The engines ------------------------------------------------------------------------------


@contextmanager
def engine(kind: str, directory: Path) -> Iterator[str]:
    """Lend the place of a store of that *kind*; the embedded one is that of the first node."""
    if kind == "sqlite":
        yield str(directory / "0" / "data")
    else:
        with room() as place, Postgres(place / "postgres") as postgres:
            yield postgres.url


def measure(kind: str, seconds: float, largest: int, runs: int) -> dict[str, float]:
    """Return the figures of one engine."""
    figures = {}
    with (
        tempfile.TemporaryDirectory() as name,
        engine(kind, Path(name)) as where,
        ExitStack() as stack,
    ):
        blobs = f"{name}/blobs"
        shared = {} if kind == "sqlite" else {"SIMVUE_SERVER_STORE": where}
        directories = [Path(name) / str(number) for number in range(1 + bool(shared))]
        for directory in directories:
            directory.mkdir()
        store = open_store(where, blobs)
        found = fill(store, largest, runs)
        store.close()
        servers = [
            stack.enter_context(Node(directory, "--blobs", blobs, **shared))
            for directory in directories
        ]
        figures |= questions(servers[-1], found)
        figures["reader p99 / idle"] = reader_p99(
            servers[-1],
            found.million,
            min(20, seconds),
            lambda duration: check(servers[0], ingest(servers, duration)[1]),
        )
        figures["points_per_s"], done = ingest(servers, seconds)
        check(servers[-1], done)
    return {f"{kind} {what}": figure for what, figure in figures.items()}


def main(seconds: float = 60.0, largest: int = 100 * MILLION, runs: int = RUNS) -> dict[str, float]:
    """Return the figures of both engines."""
    return {
        **measure("sqlite", seconds, largest, runs),
        **measure("postgres", seconds, largest, runs),
    }


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    print(json.dumps(main(*given[:1], *map(int, given[1:])), indent=2))
