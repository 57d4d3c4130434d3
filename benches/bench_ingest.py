"""What the server's store takes in: bodies decoded, compressed and committed.

In one process, without HTTP: two threads post bodies of 4 MiB to an embedded store whose
commits are synced (``synchronous=FULL``).  Series are smooth (random walks), as simulations
write them.  Every figure is checked: rows counted, and the sum of all values read back
compared with the sum sent.  The yardstick is msgpack.unpackb on the same body in the same
run: the ratio is what to compare between machines.

Run ``python benches/bench_ingest.py`` for figures; ``pytest benches/bench_ingest.py`` for a
comparison between commits.
"""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import pytest

from simvue import wire
from simvue._columns import decode_metrics
from simvue.server.store import Span
from simvue.server.store.sqlite import SQLiteStore

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

THREADS = 2
BODY_SIZE = 4 << 20
START_US = 1_760_000_000_000_000


def make_body(
    run: str, metrics: int, size: int, seed: int, first: int = 0
) -> tuple[bytes, int, float]:
    """Encode a body of about *size* bytes; return it, its rows, and the sum of its values.

    Its rows begin at step *first*, and at as many milliseconds.
    """
    generator = np.random.default_rng(seed)
    names = [f"residual/u{i:04d}" for i in range(metrics)]
    pack = msgpack.Packer().pack

    def row(step: int, values: list[float], moment: int) -> bytes:
        row = {
            "values": dict(zip(names, values, strict=True)),
            "time": moment / 1e6,
            "timestamp": wire.format_timestamp(START_US + moment),
            "step": step,
        }
        return bytes(pack(row))

    count = max(2, size // len(row(99_999, [0.1] * metrics, 10**7)))
    values = 1 + np.cumsum(generator.normal(scale=1e-3, size=(count, metrics)), axis=0)
    moments = (first * 1000 + np.cumsum(generator.integers(990, 1010, count))).tolist()
    encoded = [
        row(step, line, moment)
        for step, (line, moment) in enumerate(zip(values.tolist(), moments, strict=True), first)
    ]
    body = wire.body_header(run, "metrics", count) + b"".join(encoded)
    return body, count, float(values.sum())


def ingest(directory: Path, metrics: int, bodies: int, size: int) -> dict[str, float]:
    """Post *bodies* a thread into a new store; return points a second and bytes a point."""
    store = SQLiteStore(str(directory))
    try:
        runs = [wire.new_id() for _ in range(THREADS)]
        for run in runs:
            store.create_run({"id": run, "folder": "/", "status": "running"}, "bench")
        given = [make_body(run, metrics, size, seed) for seed, run in enumerate(runs)]

        def post(thread: int) -> None:
            body, count, _ = given[thread]
            for number in range(bodies):
                span = Span("W" * wire.ID_SIZE, number * count, (number + 1) * count)
                stored = store.add_metrics(runs[thread], decode_metrics(body), span)
                assert stored.stored == count

        start = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(post, range(THREADS)))
        elapsed = time.perf_counter() - start
        for run, (_, count, total) in zip(runs, given, strict=True):
            _check(store, run, bodies * count, bodies * total)
        points = metrics * bodies * sum(count for _, count, _ in given)
    finally:
        store.close()
    used = (directory / "simvue.db").stat().st_size
    return {"points_per_s": points / elapsed, "bytes_per_point": used / points}


def _check(store: SQLiteStore, run: str, rows: int, total: float) -> None:
    """Assert that the store has all rows of *run*, and that their values sum up to *total*."""
    names = store.metric_names([run])
    found = store.series(run, names)
    assert {len(series.values) for series in found.values()} == {rows}
    stored = sum(float(series.values.view(np.float64).sum()) for series in found.values())
    # The sums add up in another order, so their last digits differ.
    assert abs(stored - total) <= 1e-9 * abs(total)


def decode(scale: float) -> dict[str, float]:
    """Time decode_metrics and msgpack.unpackb on one body; return nanoseconds a row, minimums."""
    body, count, _ = make_body("A" * wire.ID_SIZE, 5, int(BODY_SIZE * min(scale, 1)), 0)

    def best(work: Any, times: int) -> float:
        found = []
        for _ in range(times):
            start = time.perf_counter()
            work(body)
            found.append(time.perf_counter() - start)
        return min(found) / count * 1e9

    assert decode_metrics(body).count == count == len(msgpack.unpackb(body)["metrics"])
    return {"decode_ns_row": best(decode_metrics, 10), "msgpack_ns_row": best(msgpack.unpackb, 3)}


def measure(scale: float = 1.0) -> dict[str, float]:
    """Return all figures; *scale* 1 writes about 100 million points, smaller ones in proportion."""
    size = int(BODY_SIZE * min(1.0, scale * 10))
    figures = decode(scale)
    for metrics, bodies in ((5, 200), (1, 200), (1000, 200)):
        with tempfile.TemporaryDirectory() as directory:
            found = ingest(Path(directory), metrics, max(1, int(bodies * scale)), size)
        figures[f"points_per_s_{metrics}"] = found["points_per_s"]
        if metrics == 5:
            figures["bytes_per_point"] = found["bytes_per_point"]
    return figures


@pytest.mark.parametrize("metrics", [1, 5, 1000])
def test_ingest(benchmark: BenchmarkFixture, tmp_path: Path, metrics: int) -> None:
    rounds = iter(range(1000))

    def once() -> dict[str, float]:
        return ingest(tmp_path / str(next(rounds)), metrics, 4, BODY_SIZE // 4)

    benchmark.extra_info.update(benchmark.pedantic(once, rounds=3))  # type: ignore[no-untyped-call]


def test_decode(benchmark: BenchmarkFixture) -> None:
    body, count, _ = make_body("A" * wire.ID_SIZE, 5, BODY_SIZE, 0)
    assert benchmark(decode_metrics, body).count == count


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
