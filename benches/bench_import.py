"""What starting costs: ``import simvue`` in a new process, and ``Run.init``.

Imports are timed from outside, whole processes beside ``python -c pass``, in turn, the
minimum of each.  ``Run.init`` is timed inside new processes: as the first run of a node, where
it starts the shipper, and with the shipper there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benches.loops import minimums
from benches.node import ROOT, Node

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

TIMES = 7
FIRSTS = 3
"""Each has to wait for the shipper before it to end."""

INIT = """
import sys, time
from benches.producer import say
from simvue import Run
run = Run()
begun = time.perf_counter()
run.init(folder="/benches")
say(seconds=time.perf_counter() - begun, run=run.id)
sys.stdin.read()
"""


def start_python(code: str) -> None:
    """Run *code* in a new process of this interpreter."""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def init(node: Node) -> float:
    """Return the seconds that ``init`` takes in a new process; its run must be on the server."""
    child = node.start(INIT)
    found = child.hear()
    assert node.stored(found["run"]) == 0
    child.end()
    return float(found["seconds"])


def measure(times: int = TIMES, firsts: int = FIRSTS) -> dict[str, float]:
    """Return milliseconds: imports beyond ``python -c pass``, and ``init`` of either kind."""
    codes = {
        "pass": "pass",
        "import": "import simvue",
        "run": "from simvue import Run",
        "client": "from simvue import Client",
    }
    best = minimums({name: partial(start_python, code) for name, code in codes.items()}, times)
    figures = {f"{name}_ms": (best[name] - best["pass"]) * 1e3 for name in codes if name != "pass"}
    figures["pass_ms"] = best["pass"] * 1e3
    with tempfile.TemporaryDirectory(dir=".") as directory, Node(Path(directory)) as node:
        found = []
        for _ in range(firsts):
            node.stop_shipper()
            found.append(init(node))
        figures["init_first_ms"] = min(found) * 1e3
        figures["init_ms"] = min(init(node) for _ in range(times)) * 1e3
    return figures


def test_import(benchmark: BenchmarkFixture) -> None:
    benchmark(start_python, "from simvue import Run")


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
