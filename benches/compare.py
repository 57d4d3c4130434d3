"""Compare two installed builds of simvue: ``python benches/compare.py BASE_PYTHON HEAD_PYTHON``.

Each is an interpreter that has a build installed (``.venv/bin/python``).  Their processes take
turns, each running loops.py, by path and away from this checkout; the minimum of all of a
side's processes is its figure.  A figure of *head* that is more than ten per cent over that of
*base* ends this with status 1 and is named: gate an upgrade with it.

The empty method is the yardstick: it holds no code of simvue, so where it differs, the
interpreters do, or the machine was too busy to tell.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LOOPS = Path(__file__).with_name("loops.py")

ROUNDS = 40
"""Processes a side, a quarter of a second each: so both meet the machine at its fastest."""

SLOWER_MAX = 1.10
"""Chosen: the same build against itself differs by up to 6 % on a noisy machine of two cores."""

YARDSTICK = "an empty method, ns a row"


def measure(python: str) -> tuple[str, dict[str, float]]:
    """Run loops.py once; return where its simvue lies, and its figures."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    # A runtime directory of its own, and no shipper: rows stay where they are, and are counted.
    with tempfile.TemporaryDirectory(dir=memory) as runtime, tempfile.TemporaryDirectory() as home:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SIMVUE_")}
        environment.pop("PYTHONPATH", None)
        environment |= {
            "HOME": home,
            "SIMVUE_OFFLINE_DIRECTORY": home,
            "SIMVUE_RUNTIME_DIRECTORY": runtime,
            "SIMVUE_SHIPPER": "external",
        }
        done = subprocess.run(
            [python, str(LOOPS)],
            cwd=home,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["where"], found["figures"]


def compare(pythons: tuple[str, str], rounds: int) -> list[str]:
    """Print the figures of both sides; return the names of those by which head is slower."""
    best: tuple[dict[str, float], dict[str, float]] = ({}, {})
    places = ["", ""]
    for number in range(rounds):
        # Who goes first changes, so that neither always follows the other.
        for side in (0, 1) if number % 2 else (1, 0):
            places[side], found = measure(pythons[side])
            for name, figure in found.items():
                best[side][name] = min(figure, best[side].get(name, figure))
    for label, place in zip(("base", "head"), places, strict=True):
        print(f"{label}: {place}")
    slower = []
    print(f"\n{'':28}{'base':>10}{'head':>10}{'head/base':>12}")
    for name, base in best[0].items():
        ratio = best[1][name] / base
        late = ratio > SLOWER_MAX and name != YARDSTICK
        slower += [name] * late
        print(
            f"{name:28}{base:10.1f}{best[1][name]:10.1f}{ratio:12.2f}{'  SLOWER' if late else ''}"
        )
    if not 1 / SLOWER_MAX < best[1][YARDSTICK] / best[0][YARDSTICK] < SLOWER_MAX:
        print("\nThe yardstick differs: other interpreters, or a machine too busy to compare on.")
    return slower


def main() -> int:
    """Compare what the command line names; 1 if head is slower."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base", help="interpreter with the build to compare with")
    parser.add_argument("head", help="interpreter with the build to judge")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes a side")
    arguments = parser.parse_args()
    slower = compare((arguments.base, arguments.head), arguments.rounds)
    if slower:
        limit = (SLOWER_MAX - 1) * 100
        print(f"\nhead is over {limit:.0f} % slower: {'; '.join(slower)}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
