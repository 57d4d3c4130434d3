"""Log rows through whichever simvue this interpreter has; only what both packages offer.

Prints a line: the run's name, p50 and p99 of one call in microseconds, and the seconds from
the first call to the end of ``close()``.
"""

from __future__ import annotations

import secrets
import sys
import time
from typing import Any

from simvue import Run


def main() -> None:
    """Log as many rows as the command line says, in its mode."""
    mode: Any = sys.argv[1]
    rows = int(sys.argv[2])
    name = f"peer-{secrets.token_hex(8)}"
    run = Run(mode=mode)
    run.init(name, folder="/peers")
    taken = []
    now = time.perf_counter_ns
    begun = now()
    for i in range(rows):
        before = now()
        run.log_metrics(
            {"loss": 0.3, "density": 34.4, "energy": 1.5e-3, "residual": 2.7e-7, "cfl": 0.9},
            step=i,
        )
        taken.append(now() - before)
    run.close()
    spent = now() - begun
    taken.sort()
    print(name, taken[rows // 2] / 1e3, taken[rows * 99 // 100] / 1e3, spent / 1e9)


if __name__ == "__main__":
    main()
