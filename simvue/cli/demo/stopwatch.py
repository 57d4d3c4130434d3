"""Stopwatch: run a script, and time every row that it logs.

``python -m simvue.cli.demo.stopwatch REPORT SCRIPT [ARGUMENT ...]`` runs SCRIPT as Python
would, with a ``simvue.Run`` whose calls are timed, and leaves its findings in REPORT as JSON.
"""

from __future__ import annotations

import atexit
import json
import runpy
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Enough to see the least that two readings of the clock can differ by.
_READINGS = 1000

calls = array("q")
"""Nanoseconds of each call."""

first: list[float] = []
"""When the first call began, in seconds since the epoch; empty before it."""


def timed_run() -> type:
    """Make a ``Run`` that times its rows."""
    from simvue.run import Run

    class TimedRun(Run):
        def log_metrics(self, *arguments: Any, **named: Any) -> bool:
            return timed(super().log_metrics, arguments, named)

        def bind_metrics(self, *names: str) -> Callable[..., bool]:
            log = super().bind_metrics(*names)
            return lambda *values, **place: timed(log, values, place)

    return TimedRun


def timed(log: Callable[..., bool], arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Call *log* and note how long it took."""
    if not first:
        first.append(time.time())
    before = time.perf_counter_ns()
    logged = log(*arguments, **named)
    calls.append(time.perf_counter_ns() - before)
    return logged


def clock_cost() -> int:
    """Return the nanoseconds that a measurement of nothing shows."""
    readings = []
    for _ in range(_READINGS):
        before = time.perf_counter_ns()
        readings.append(time.perf_counter_ns() - before)
    return min(readings)


def report(path: Path) -> None:
    """Write the moment of the first call and the 99th percentile of all of them."""
    p99 = sorted(calls)[len(calls) * 99 // 100] - clock_cost() if calls else None
    path.write_text(json.dumps({"first": first[0] if first else None, "p99_ns": p99}))


def main() -> None:
    """Run the script named on the command line."""
    import simvue

    path, script = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    # What the script means by `from simvue import Run`.
    vars(simvue)["Run"] = timed_run()
    atexit.register(report, path)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
