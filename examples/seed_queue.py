"""A queued job: registered when it is submitted, reconnected to when it starts.

`--submit` and `--work NAME` are the two halves, as a batch script would call them on a
log-in node and on a compute node; without either, one is done after the other.
"""

import argparse

from simvue import Run


def submit(name: str) -> None:
    """Register the run before it can start, and print the name to reconnect with."""
    run = Run()
    run.init(
        name=name,
        metadata={"queue": "short"},
        tags=["queued"],
        description="A job that was queued by one process and done by another.",
        status="created",
    )
    print(run.name)


def work(name: str, steps: int) -> None:
    """Do the job; from the first line on the run is `running`."""
    run = Run()
    run.reconnect(name)
    done = 1.0
    for step in range(steps):
        done *= 0.99
        run.log_metrics({"remaining": done}, step=step)
    run.update_tags(["worked"])
    run.close()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--submit", action="store_true")
    parser.add_argument("--work", metavar="NAME")
    options = parser.parse_args(arguments)

    if options.work:
        work(options.work, options.steps)
    elif options.submit:
        submit("queued-job")
    else:
        submit("queued-job")
        work("queued-job", options.steps)


if __name__ == "__main__":
    main()
