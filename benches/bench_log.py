"""What a call of ``log_metrics`` costs: whole loops, as ratios to an empty Python method.

The run is a real one, but its stream turns between two private segments that are emptied as
soon as they are full, so a figure is of our call, rolls included, and of no other process.
(bench_latency.py is the same call with the shipper and the server at work.)  The rows of the
last filling are decoded and compared; every row is counted.
"""

from __future__ import annotations

import itertools
import json
import math
import mmap
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import pytest

from benches.loops import (
    NAMES,
    ROW,
    Empty,
    bound_loop,
    build_loop,
    dict_loop,
    log_loop,
    minimums,
    own,
    pack_loop,
    values_loop,
)
from simvue import Run
from simvue._batch import Segment, Stream

try:
    from benches._floor import Floor  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # it is built with the package where there is a compiler
    Floor = None

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

COUNT = 30_000
"""Calls a slice: just over a segment of 4 MiB, so every slice has a roll."""

SLICES = 120
"""Together 75 ms or twice that a slice; 10 s are enough to meet the machine at its fastest."""


class Emptied:
    """A run whose metrics go to two segments in turn, each emptied when the other is begun."""

    def __init__(self) -> None:
        self.segments = [Segment(mmap.mmap(-1, 4 << 20), name) for name in ("even", "odd")]
        for segment in self.segments:
            segment.format()
        self._others = itertools.cycle(self.segments)
        self.stream = Stream(self.roll)
        self.run = Run()
        self.run._attach(self.stream, Stream(self.roll))

    def roll(self, stream: Stream, size: int) -> bool:
        """Go on in the other segment, emptied."""
        if stream.segment is not None:
            stream.segment.hand_back()
        return bool(stream.switch(stream.segment, next(self._others)))

    def last_rows(self) -> list[dict[str, Any]]:
        """Decode the rows of the filling that is under way."""
        segment = self.stream.segment
        assert segment is not None
        count, size = segment.published
        unpacker = msgpack.Unpacker()
        unpacker.feed(segment.copy(b"", 0, size))
        rows = list(unpacker)
        assert len(rows) == count
        return rows


def wire_row() -> dict[str, Any]:
    """Return the row of the loops as the wire has it."""
    moment = "2026-01-31T12:00:00.000000"
    return {"values": ROW, "time": 0.5, "timestamp": moment, "step": 123_456}


def works(count: int) -> tuple[dict[str, Callable[[], None]], Callable[[], None]]:
    """Return every loop of *count* calls by name, and what checks the answers after them."""
    runs = {name: Emptied() for name in ("log_metrics", "numpy", "bound")}
    given = tuple(np.float64(value) for value in ROW.values())
    bound = runs["bound"].run.bind_metrics(*NAMES)
    logged = dict.fromkeys(runs, 0)

    def counted(name: str, loop: Callable[[], None]) -> Callable[[], None]:
        def work() -> None:
            loop()
            logged[name] += count

        return work

    loops: dict[str, Callable[[], None]] = {
        "dict": partial(dict_loop, count),
        "empty": partial(own(log_loop), Empty(), count),
        "log_metrics": counted(
            "log_metrics", partial(own(log_loop), runs["log_metrics"].run, count)
        ),
        "bound": counted("bound", partial(bound_loop, bound, count)),
        "empty with numpy": partial(own(values_loop), Empty(), count, given),
        "numpy": counted("numpy", partial(own(values_loop), runs["numpy"].run, count, given)),
        "packb": partial(pack_loop, msgpack.packb, count, wire_row()),
        "build and packb": partial(build_loop, msgpack.packb, count, wire_row()["timestamp"]),
    }
    if Floor is not None:
        floor = Floor()
        loops["floor"] = partial(own(log_loop), floor, count)

    def check() -> None:
        for name, emptied in runs.items():
            assert emptied.stream.next_row == logged[name] > 0, name
            rows = emptied.last_rows()
            assert all(row["values"] == ROW for row in rows), name
            last = (logged[name] - len(rows)) % count
            assert [row["step"] for row in rows] == [(last + i) % count for i in range(len(rows))]
        if Floor is not None:
            last_row = msgpack.unpackb(floor.last())
            assert last_row["values"] == ROW
            assert last_row["step"] == count - 1

    return loops, check


def measure(slices: int = SLICES, count: int = COUNT) -> dict[str, float]:
    """Return nanoseconds a call of every loop (``... ns``), and their ratios to the yardsticks."""
    loops, check = works(count)
    best = minimums(loops, slices)
    check()
    figures = {f"{name} ns": seconds / count * 1e9 for name, seconds in best.items()}
    return figures | {
        "log_metrics / empty": best["log_metrics"] / best["empty"],
        "log_metrics / packb": best["log_metrics"] / best["packb"],
        "log_metrics / build and packb": best["log_metrics"] / best["build and packb"],
        "log_metrics / floor": best["log_metrics"] / best.get("floor", math.nan),
        "floor / empty": best.get("floor", math.nan) / best["empty"],
        "bound / empty": best["bound"] / best["empty"],
        "numpy / empty": best["numpy"] / best["empty with numpy"],
    }


@pytest.mark.parametrize(
    "name",
    ["empty", "floor", "log_metrics", "bound", "empty with numpy", "numpy", "packb"],
)
def test_log(benchmark: BenchmarkFixture, name: str) -> None:
    loops, check = works(COUNT)
    if name not in loops:
        pytest.skip("benches/_floor is not built here")
    for loop in loops.values():
        loop()
    benchmark(loops[name])
    check()


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
