"""An hour's rows while the server is down, and how soon they are there when it is back.

First the same loop runs in windows with the server up and down in turn, and each window's
99th percentile of one call is compared with that of the window beside it.  Then the server
stays down for at least a minute while one process logs what 1 kHz is in an hour, with the times
of that hour, as fast as it goes.  The clock of the draining runs from the server's being
ready to the answer that counts the last row.  Every row and the exact sums are read back.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from benches.node import Node
from benches.producer import CYCLE, say, sums_of, walk

PACE = 1000
ROWS = 3600 * PACE
DOWN_S = 60.0
PAIRS = 5
CALLS = 5_000

_PAUSE_S = 0.0002
"""Between two calls in a window: as often as a simulation that is in a hurry."""

_POLL_S = 0.01


def simulate(rows: int, calls: int) -> None:
    """Time windows of *calls* calls as long as it is told to, then log *rows* rows and close."""
    import sys

    values = walk(CYCLE)
    names = list(sums_of(1))
    from simvue import Run

    paced = Run()
    paced.init(folder="/benches")
    say(ready=paced.id)
    while sys.stdin.readline() == "window\n":
        say(p99_s=window(paced, calls))
    paced.close()
    run = Run()
    # A loop that does nothing but log is faster than the disk; a simulation at 1 kHz is not.
    run.config(queue_blocking=True)
    run.init(folder="/benches")
    begun = time.time()
    for i in range(rows):
        row = dict(zip(names, values[i % CYCLE], strict=True))
        run.log_metrics(row, step=i, time=i / PACE, timestamp=begun + i / PACE)
    say(run=run.id, dropped=run.dropped)
    run.close()


def window(run: object, calls: int) -> float:
    """Return the 99th percentile of one call, in seconds."""
    log, clock = run.log_metrics, time.perf_counter  # type: ignore[attr-defined]
    spent = []
    begin = clock()
    for call in range(calls):
        while clock() < begin + call * _PAUSE_S:
            pass
        before = clock()
        log({"x": 1.5, "y": 2.5}, step=call)
        spent.append(clock() - before)
    return sorted(spent)[int(calls * 0.99)]


def measure(
    rows: int = ROWS, down_s: float = DOWN_S, pairs: int = PAIRS, calls: int = CALLS
) -> dict[str, float]:
    """Return the ratio of the percentiles, and the draining as a multiple of real time."""
    code = f"from benches.bench_outage import simulate; simulate({rows}, {calls})"
    with tempfile.TemporaryDirectory(dir=".") as directory, Node(Path(directory)) as node:
        child = node.start(code, linger=600, close_timeout=600)
        child.hear()
        child.ask("window")  # Pages, caches, the first segments.
        ratios = []
        for _ in range(pairs):
            up = child.ask("window")["p99_s"]
            node.stop_server()
            away = child.ask("window")["p99_s"]
            node.start_server()
            ratios.append(away / up)
        node.stop_server()
        begun = time.monotonic()
        told = child.ask("rows")
        logged_s = time.monotonic() - begun
        time.sleep(max(0.0, begun + down_s - time.monotonic()))
        node.start_server()
        back = time.monotonic()
        while node.stored(told["run"]) < rows:
            time.sleep(_POLL_S)
        drained_s = time.monotonic() - back
        child.end()
        assert told["dropped"] == 0
        node.check(told["run"], rows, sums_of(rows))
    return {
        "p99_ratio": statistics.median(ratios),
        "logged_s": logged_s,
        "drained_s": drained_s,
        "times_real": rows / PACE / drained_s,
        "rows_per_s": rows / drained_s,
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
