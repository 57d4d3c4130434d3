"""One call of ``log_metrics``, call by call, while the shipper and the server take the rows.

A child process with a real run times every call with ``perf_counter_ns``, the dict literal
inside the timed expression, and in turn the empty method in the same way.  What the timer
itself takes, its median between two readings with nothing in between, is subtracted from
both.  Each call is then a multiple of the empty method's median in the slice beside it,
as the machine's speed changes meanwhile; the percentiles are of all calls, rolls and
waits for a full queue included.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

from benches.loops import ROW, Empty, own
from benches.node import Node
from benches.producer import say

CALLS = 1_000_000
SLICE = 50_000
"""Calls in a row: about two segments."""

EMPTY_SLICE = 5_000
"""A tenth of that: enough for a median, and little rest for the shipper to catch up in."""


def timed_loop(run: Any, times: array[int]) -> None:
    """Time each of as many calls as *times* is long, in nanoseconds."""
    now = time.perf_counter_ns
    for i in range(len(times)):
        begun = now()
        run.log_metrics(
            {"loss": 0.3, "density": 34.4, "energy": 1.5e-3, "residual": 2.7e-7, "cfl": 0.9},
            step=i,
        )
        times[i] = now() - begun


def timer_loop(times: array[int]) -> None:
    """Time nothing, as often as *times* is long."""
    now = time.perf_counter_ns
    for i in range(len(times)):
        begun = now()
        times[i] = now() - begun


def time_calls(calls: int) -> None:
    """Log *calls* rows into a run of this process, print the figures, and close it."""
    from simvue import Run

    run = Run()
    run.init(folder="/benches")
    size = min(SLICE, calls)
    taken, empty_taken = array("q", bytes(8 * size)), array("q", bytes(8 * EMPTY_SLICE))
    empty, empty_loop = Empty(), own(timed_loop)
    multiples: list[float] = []
    longest = 0
    # The first slice warms the interpreter and makes the first segments; its rows count too.
    for number in range(calls // size + 1):
        timer_loop(empty_taken)
        timer = median(empty_taken)
        empty_loop(empty, empty_taken)
        unit = median(empty_taken) - timer
        timed_loop(run, taken)
        if number:
            multiples += [(each - timer) / unit for each in taken]
            longest = max(longest, *taken)
    multiples.sort()
    say(
        run=run.id,
        rows=(calls // size + 1) * size,
        dropped=run.dropped,
        p50=quantile(multiples, 0.5),
        p99=quantile(multiples, 0.99),
        p999=quantile(multiples, 0.999),
        max=multiples[-1],
        max_ms=longest / 1e6,
        empty_ns=unit,
        timer_ns=timer,
    )
    sys.stdin.read()
    run.close()


def median(values: Any) -> float:
    """Return the middle one of *values*."""
    return quantile(sorted(values), 0.5)


def quantile(ordered: Any, share: float) -> float:
    """Return the value that *share* of the *ordered* ones do not exceed."""
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def measure(calls: int = CALLS) -> dict[str, float]:
    """Return p50, p99, p999 and max as multiples of the empty method's median (``empty_ns``)."""
    with tempfile.TemporaryDirectory(dir=".") as directory, Node(Path(directory)) as node:
        child = node.start(f"from benches.bench_latency import time_calls; time_calls({calls})")
        found = child.hear()
        child.end()
        rows = found.pop("rows")
        assert found.pop("dropped") == 0
        run = found.pop("run")
        node.check(run, rows, {"density": rows * ROW["density"]})
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
