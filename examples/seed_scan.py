"""A parameter scan: one run for each value, all from one program."""

import argparse

from simvue import Run

RATES = (2.9, 3.3, 3.5, 3.9)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args(arguments).steps

    for rate in RATES:
        with Run() as run:
            run.init(
                name=f"logistic-{rate}",
                metadata={"rate": rate},
                tags=["scan"],
                description="The logistic map: a fixed point, cycles, chaos.",
                folder="/demo/scan",
            )
            x = 0.5
            for step in range(steps):
                x = rate * x * (1 - x)
                run.log_metrics({"population": x}, step=step)


if __name__ == "__main__":
    main()
