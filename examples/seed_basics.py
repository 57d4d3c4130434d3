"""A first run: what it is, what it logs, what is learned later, and its end."""

import argparse
import math

from simvue import Run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    steps = parser.parse_args(arguments).steps

    run = Run()
    run.init(
        name="my-first-run",
        metadata={"environment": "test", "status": "converging"},
        tags=["test"],
        description="A first run: an error that falls, and a swing beside it.",
        folder="/tests",
    )
    for step in range(steps):
        run.log_metrics({"error": math.exp(-step / 120), "swing": math.sin(step / 25)})
    # The run turns out otherwise than hoped; tags are added, metadata of that name replaced.
    run.update_tags(["unconverged"])
    run.update_metadata({"status": "unconverged", "steps": steps})
    run.close()


if __name__ == "__main__":
    main()
