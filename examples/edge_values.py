"""Values at the edge: everything a metric may be, kept exactly as it was logged."""

import argparse
import math

from simvue import Run

NAN, INF = math.nan, math.inf

FLOATS = (0.0, -0.0, 1.5, NAN, INF, -INF, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308,
          0.1, 1 / 3, NAN)  # fmt: skip
# Exact far beyond what a float64 can hold; past 64 bits they become the nearest float64.
INTEGERS = (0, -1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**70)
# Logged in this order, and read back in this order.
STEPS = (0, 0, 5, 5, 3, 2, 10, 2**40, 1, 1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1, help="times everything is logged")
    rounds = parser.parse_args(arguments).steps

    with Run() as run:
        run.init(
            name="edge-values",
            metadata={"nan": NAN, "nested": {"list": [1, 2.5, None, True]}, "text": "Größe ≤ 1 µm"},
            tags=["demo", "edge"],
            description="NaN, infinities, large integers: no simulation, but kept as they are.",
            folder="/demo",
        )
        for _ in range(rounds):
            for value in FLOATS:
                run.log_metrics({"float": value})
            for value in INTEGERS:
                run.log_metrics({"integer": value})
            for step in STEPS:
                run.log_metrics({"any order": step * 0.5}, step=step)
            for flag in (True, False, True):
                run.log_metrics({"flag": flag, "flag/opposite": not flag})
            # Kinds may change from row to row of one metric.
            for value in (1, 2.5, True, 2**60 + 1, NAN):
                run.log_metrics({"mixed": value})
            for i, time in enumerate((0.0, 0.25, -3.5, 1e9)):
                run.log_metrics({"timed": float(i)}, time=time)
            for second in (0, 1, 59):
                timestamp = f"2026-01-31T12:00:{second:02d}.000001"
                run.log_metrics({"dated": float(second)}, timestamp=timestamp)
            run.log_metrics(
                {"names: a-b_c/d.e=f><+(g)%": 1.0}, 7, 0.5, "2026-01-31T12:00:00.000000"
            )
        run.log_event("It may say anything: “quotes”, tabs\tand\nlines, 日本語, 🚀")
        for level in ("debug", "info", "warning", "error", "critical"):
            run.log_event(f"an event of level {level}", log_level=level)
        run.log_event("long ago", timestamp="2001-01-01T00:00:00.000000")


if __name__ == "__main__":
    main()
