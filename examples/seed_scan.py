"""A parameter scan: one run for each value, all from one program."""

import argparse

from simvue import Run

# Growth rates, and where the population goes at each.
RATES = {2.9: "settles", 3.3: "goes up and down", 3.5: "goes round four sizes", 3.9: "is chaos"}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args(arguments).steps

    for rate, fate in RATES.items():
        with Run() as run:
            run.init(
                name=f"logistic-{rate}",
                metadata={"rate": rate},
                tags=["scan"],
                description=f"A population that {fate}: the logistic map at {rate}.",
                folder="/demo/scan",
            )
            x = 0.5
            for step in range(steps):
                x = rate * x * (1 - x)
                run.log_metrics({"population": x}, step=step)


if __name__ == "__main__":
    main()
