"""Lorenz-96: a chaotic ring of variables, five numbers logged at every one of its steps.

The integrator is a handful of Python arithmetic, so the cost of logging would show.  It
does not wait for anything: rows go as fast as it computes.  Ends with one line of JSON: rows,
rows a second, and the 99th percentile of one call in microseconds.
"""

import argparse
import json
import time
from array import array
from collections.abc import Iterator

from simvue import Run

SIZE = 8
FORCING = 8.0
DT = 0.005
# Every so-many-th call is timed: often enough for a percentile, too seldom to slow the rest.
SAMPLE_EVERY = 16


def slope(x: list[float]) -> list[float]:
    """Return dx/dt: each variable is driven by its neighbours on the ring."""
    ring = zip(x[1:] + x[:1], x[-2:] + x[:-2], x[-1:] + x[:-1], x, strict=True)
    return [(after - before2) * before - here + FORCING for after, before2, before, here in ring]


def simulate(steps: int) -> Iterator[tuple[float, float, float, float, float]]:
    """Integrate by the midpoint rule; yield energy, mean, least, greatest and first variable."""
    x = [FORCING] * SIZE
    # Without a nudge the ring rests for ever on its unstable equilibrium.
    x[0] += 0.01
    for _ in range(steps):
        middle = [value + 0.5 * DT * change for value, change in zip(x, slope(x), strict=True)]
        x = [value + DT * change for value, change in zip(x, slope(middle), strict=True)]
        energy = 0.5 * sum(value * value for value in x)
        yield energy, sum(x) / SIZE, min(x), max(x), x[0]


def timer_cost() -> int:
    """Return the nanoseconds that reading the clock twice adds to a measurement."""
    pairs = []
    for _ in range(1000):
        before = time.perf_counter_ns()
        pairs.append(time.perf_counter_ns() - before)
    return min(pairs)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000)
    steps = parser.parse_args(arguments).steps

    calls = array("q")
    clock = time.perf_counter_ns
    with Run() as run:
        run.init(
            name="lorenz96",
            metadata={"size": SIZE, "forcing": FORCING, "dt": DT, "scheme": "midpoint"},
            tags=["demo", "chaos"],
            description=f"Chaos on a ring of {SIZE} variables (Lorenz-96), {steps:,} steps.",
            folder="/demo",
        )
        log = run.bind_metrics("energy", "x/mean", "x/min", "x/max", "x/first")
        began = clock()
        for step, values in enumerate(simulate(steps)):
            if step % SAMPLE_EVERY:
                log(*values, step=step)
            else:
                before = clock()
                log(*values, step=step)
                calls.append(clock() - before)
        seconds = (clock() - began) / 1e9

    p99 = max(0, sorted(calls)[len(calls) * 99 // 100] - timer_cost()) if calls else 0
    report = {"rows": steps, "rows_per_s": round(steps / seconds), "p99_us": p99 / 1000}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
