"""A simulation, as a child process of a bench: five smooth metrics a row, at a pace or at none.

It says, a JSON object a line: ``ready`` once its run is open; after a line on its standard
input, ``logged`` when it has logged everything; then it closes the run, at the end of that
input unless it was told to close at once, and ends.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time

from benches.processes import own_memory

CYCLE = 50_000
"""Rows before the values repeat: more than a body holds, so that no compressor sees it."""


def walk(count: int) -> list[tuple[float, ...]]:
    """Return *count* rows of five random walks, smooth as the residuals of a simulation are."""
    gauss = random.Random(0).gauss
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    rows = []
    for _ in range(count):
        values = [value + gauss(0.0, 1e-3) for value in values]
        rows.append(tuple(values))
    return rows


def sums_of(rows: int) -> dict[str, float]:
    """Return the exact sums, by metric, of the first *rows* rows that every producer logs."""
    values = walk(min(rows, CYCLE))
    columns = zip(*(values[i % CYCLE] for i in range(rows)), strict=True)
    names = ("loss", "density", "energy", "residual", "cfl")
    return {name: math.fsum(column) for name, column in zip(names, columns, strict=True)}


def produce(
    rows: int, pace: float = 0.0, close_at_once: bool = False, init_at_once: bool = True
) -> None:
    """Log *rows* rows, *pace* a second or as fast as they go; see the top of the file.

    Unless *init_at_once*, it says ``imported`` first and opens its run after a line more.
    """
    values = walk(min(rows, CYCLE))
    before = own_memory()
    from simvue import Run

    if not init_at_once:
        say(imported=True)
        sys.stdin.readline()
    begun = time.monotonic()
    run = Run()
    run.init(folder="/benches")
    say(ready=run.id, init_s=time.monotonic() - begun)
    sys.stdin.readline()
    start = time.monotonic()
    for i in range(rows):
        loss, density, energy, residual, cfl = values[i % CYCLE]
        run.log_metrics(
            {"loss": loss, "density": density, "energy": energy, "residual": residual, "cfl": cfl},
            step=i,
        )
        if pace:
            # The moments are fixed, so one late sleep does not slow down the rest.
            time.sleep(max(0.0, start + (i + 1) / pace - time.monotonic()))
    logged = time.monotonic()
    say(start=start, logged=logged, dropped=run.dropped, memory=own_memory() - before)
    if not close_at_once:
        sys.stdin.read()
    run.close()


def say(**members: object) -> None:
    """Print one object as a line."""
    print(json.dumps(members), flush=True)
