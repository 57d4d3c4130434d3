"""Heat in a square plate: NumPy, a few thousand steps, metrics with the simulated time, events.

Three edges are kept cold and one is hot; the plate warms until hardly anything changes.  `time`
is the simulated time, not the clock's, so the page's time axis shows the physics.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from simvue import Run

SIZE = 64
DIFFUSIVITY = 1.0
SPACING = 1.0 / SIZE
# The explicit scheme is stable up to a quarter of spacing^2 / diffusivity.
DT = 0.2 * SPACING**2 / DIFFUSIVITY
HOT = 100.0
CONVERGED = 2e-3


def simulate(steps: int) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield the simulated time and what is worth knowing of the plate, step by step."""
    plate = np.zeros((SIZE, SIZE))
    plate[0, :] = HOT
    for step in range(steps):
        inner = plate[1:-1, 1:-1]
        change = plate[2:, 1:-1] + plate[:-2, 1:-1] + plate[1:-1, 2:] + plate[1:-1, :-2] - 4 * inner
        change *= DIFFUSIVITY * DT / SPACING**2
        inner += change
        yield (
            (step + 1) * DT,
            {
                "temperature/mean": plate.mean(),
                "temperature/centre": plate[SIZE // 2, SIZE // 2],
                "flux/cold.edge": plate[-2, :].sum() / SPACING,
                "residual": np.abs(change).max(),
            },
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4_000)
    steps = parser.parse_args(arguments).steps

    with Run() as run:
        run.init(
            name="heat2d",
            metadata={"size": SIZE, "dt": DT, "edge": {"hot": HOT, "cold": 0.0}},
            tags=["demo", "heat"],
            description="Heat spreads over a plate with one hot edge until nothing changes.",
            folder="/demo",
        )
        run.log_event(f"{SIZE} x {SIZE} plate, {steps} steps of {DT:.3e}")
        converged = False
        residual = float("inf")
        for step, (time, metrics) in enumerate(simulate(steps)):
            run.log_metrics(metrics, step=step, time=time)
            residual = float(metrics["residual"])
            if step and step % 1000 == 0:
                run.log_event(f"step {step}: residual {residual:.3e}", log_level="debug")
            if not converged and residual < CONVERGED:
                converged = True
                run.log_event(f"converged at step {step}")
        if not converged:
            run.log_event(f"not converged: residual {residual:.3e}", log_level="warning")
            run.update_tags(["unconverged"])
        run.update_metadata({"converged": converged, "residual": residual})


if __name__ == "__main__":
    main()
