"""The loops that are timed, and how: in short slices that take turns, the minimum of each.

A machine may change its speed by a factor of two within seconds.  What is to be compared
therefore takes turns in slices of milliseconds, and each side's best slice is its figure:
both have then met the machine at its fastest.

Run as a program, this file uses nothing but the standard library and what a user of simvue can
call, and finds simvue where its interpreter has it: compare.py gives it by path to any two
installed builds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

NAMES = ("loss", "density", "energy", "residual", "cfl")
ROW = {"loss": 0.3, "density": 34.4, "energy": 1.5e-3, "residual": 2.7e-7, "cfl": 0.9}
"""What the loops below log; their literals repeat it, as a literal is part of what is timed."""


class Empty:
    """The yardstick: a Python method that takes what ``log_metrics`` takes and does nothing."""

    def log_metrics(
        self,
        metrics: object,
        step: object = None,
        time: object = None,
        timestamp: object = None,
    ) -> None:
        """Do nothing."""


def log_loop(run: Any, count: int) -> None:
    """Log five float literals *count* times: the whole loop, the dict literal included."""
    for i in range(count):
        run.log_metrics(
            {"loss": 0.3, "density": 34.4, "energy": 1.5e-3, "residual": 2.7e-7, "cfl": 0.9},
            step=i,
        )


def values_loop(run: Any, count: int, values: tuple[Any, ...]) -> None:
    """Log five *values* that are there already, numpy's for example, *count* times."""
    loss, density, energy, residual, cfl = values
    for i in range(count):
        run.log_metrics(
            {"loss": loss, "density": density, "energy": energy, "residual": residual, "cfl": cfl},
            step=i,
        )


def bound_loop(log: Any, count: int) -> None:
    """Log the same floats through ``log = run.bind_metrics(...)``, without a dict."""
    for i in range(count):
        log(0.3, 34.4, 1.5e-3, 2.7e-7, 0.9, step=i)


def pack_loop(pack: Any, count: int, row: Any) -> None:
    """Call ``pack(row)`` *count* times; the row is there already, which favours *pack*."""
    for _ in range(count):
        pack(row)


def build_loop(pack: Any, count: int, timestamp: str) -> None:
    """Build the row from the same literals and call *pack*, *count* times."""
    for i in range(count):
        pack(
            {
                "values": {
                    "loss": 0.3, "density": 34.4, "energy": 1.5e-3, "residual": 2.7e-7, "cfl": 0.9,
                },
                "time": 0.5,
                "timestamp": timestamp,
                "step": i,
            }
        )  # fmt: skip


def dict_loop(count: int) -> None:
    """Only build the dict: what every call above pays before it begins."""
    for _ in range(count):
        _ = {"loss": 0.3, "density": 34.4, "energy": 1.5e-3, "residual": 2.7e-7, "cfl": 0.9}


def own(loop: Callable[..., None]) -> Callable[..., None]:
    """Return a copy of *loop* with code of its own.

    The interpreter adapts code to the objects it meets: two targets in one loop would each
    pay for the other.
    """
    assert isinstance(loop, FunctionType)
    return FunctionType(loop.__code__.replace(), loop.__globals__, loop.__name__)


def minimums(works: Mapping[str, Callable[[], object]], slices: int) -> dict[str, float]:
    """Run all *works* in turn, *slices* times; return the seconds of each one's best slice."""
    best = dict.fromkeys(works, float("inf"))
    now = time.perf_counter
    for _ in range(slices):
        for name, work in works.items():
            begun = now()
            work()
            best[name] = min(best[name], now() - begun)
    return best


def dict_s() -> float:
    """Return the seconds that a dict of five floats costs here and now: how fast the machine is."""
    count = 20_000
    return minimums({"dict": lambda: dict_loop(count)}, 20)["dict"] / count


# ---- Given by path to an installed build ---------------------------------------------------

_COUNT = 10_000
_SLICES = 8
"""3 x 8 x 10,000 rows are 38 MB: no slice meets the end of a queue of 64 MiB."""


def main() -> int:
    """Print, as JSON, what this interpreter's simvue costs: milliseconds, and nanoseconds a row.

    The caller has set SIMVUE_SHIPPER=external and a SIMVUE_RUNTIME_DIRECTORY of its own: nobody
    takes the rows, so nothing else runs, and all of them are counted at the end.
    """
    begun = time.perf_counter()
    import simvue

    run = simvue.Run(mode="offline")
    imported = time.perf_counter()
    run.init("compare", no_color=True)
    opened = time.perf_counter()
    log = run.bind_metrics(*NAMES)
    empty = Empty()
    empty_loop = own(log_loop)
    series = {name: array("d", [value]) * _COUNT for name, value in ROW.items()}
    found = minimums(
        {
            "an empty method": lambda: empty_loop(empty, _COUNT),
            "log_metrics": lambda: log_loop(run, _COUNT),
            "bound form": lambda: bound_loop(log, _COUNT),
            "log_series": lambda: run.log_series(series),
        },
        _SLICES,
    )
    figures = {f"{name}, ns a row": seconds / _COUNT * 1e9 for name, seconds in found.items()}
    figures["import, ms"] = (imported - begun) * 1e3
    figures["init, ms"] = (opened - imported) * 1e3
    assert run.dropped == 0, "the runtime directory has no room for 64 MiB"
    # A row holds its "timestamp" once, whatever else a build may change about it.
    runtime = Path(os.environ["SIMVUE_RUNTIME_DIRECTORY"])
    rows = sum(path.read_bytes().count(b"\xa9timestamp") for path in runtime.glob("*.metrics.*"))
    assert rows == 3 * _SLICES * _COUNT, f"{rows} rows of {3 * _SLICES * _COUNT} are there"
    print(json.dumps({"where": simvue.__file__, "figures": figures}), flush=True)
    # Nobody waits for rows that nobody takes.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
