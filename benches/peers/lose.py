"""Get into the trouble that the command line names; only what both packages offer.

``python lose.py SITUATION NAME COUNTER``: the run is called NAME, and the mapped file COUNTER
says how many rows' ``log_metrics`` have returned, whatever becomes of this process.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable

from simvue import Run

Log = Callable[[int], None]


def main() -> None:
    """Log rows, and get into trouble."""
    situation, name, path = sys.argv[1:]
    counter = mmap.mmap(os.open(path, os.O_RDWR), 8)
    run = Run(mode="offline" if situation == "S4" else "online")
    # Ours beats thrice within the timeout; the official client every minute, long to wait by hand.
    run.init(name, folder="/losses", timeout=3)
    if hasattr(run, "_heartbeat_interval"):
        run._heartbeat_interval = 1

    def log(rows: int, rate: float | None = None, first: int = 0) -> None:
        begin = time.perf_counter()
        for step in range(first, first + rows):
            run.log_metrics({"x": float(step), "y": 1.0, "z": 2.0}, step=step)
            struct.pack_into("<q", counter, 0, step + 1)
            if rate is not None:
                time.sleep(max(0.0, begin + (step - first) / rate - time.perf_counter()))

    if situation == "S1":
        with run:
            log(1000)
            raise RuntimeError("the matrix is singular")
    if situation == "S5":
        with run:
            log(1000)
            sys.exit(3)
    if situation == "S2":
        log(20_000, rate=5000)
        run.close()
    elif situation == "S3":
        time.sleep(6)  # for heartbeats to come or not
        log(1)
        run.close()
    elif situation == "S4":
        log(1000)
    elif situation in ("S6", "S7"):
        log(1700, rate=500)
        os.kill(os.getpid(), signal.SIGKILL if situation == "S6" else signal.SIGTERM)
        time.sleep(60)
    elif situation == "S8":
        log(10)
        if (child := os.fork()) == 0:
            log(500, first=10)
            time.sleep(3)  # three times the interval at which it would be sent
            os._exit(0)
        os.waitpid(child, 0)
        run.close()


if __name__ == "__main__":
    main()
