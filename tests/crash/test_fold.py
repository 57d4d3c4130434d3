"""The folder may die at any instant: no row is lost by it, and none is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simvue.server.store import open_store
from simvue.server.store.audit import audit

KILLS = int(os.environ.get("SIMVUE_TEST_KILLS") or 10)
RUN = "R" * 22

# Two writers post bodies as fast as they can and say what was acknowledged, while two threads
# fold; the limits are so small that folds of three levels come and go all the time.
VICTIM = """
import random, sys, threading
import numpy as np
from simvue._columns import Block, Rows
from simvue.server.store import Span, cells, fold, folding, log, open_store

directory, seed = sys.argv[1], int(sys.argv[2])
fold.ROWS, fold.SLICE, folding.BODIES, folding.IDLE_S = 400, 7, 4, 0.01
cells.CELL, cells.FAN = 16, 3
log.CHECKPOINT_AT, log.LOG_MAX = 1 << 20, 4 << 20
store = open_store(directory)
run = "R" * 22
store.create_run({"id": run, "folder": "/"}, "ada")

def post(writer):
    generator = random.Random(seed * 10 + writer)
    first = dict(store.writers(run)).get(f"w{writer}", [(0, 0)])[-1][1]
    while True:
        end = first + generator.choice([1, 10, 100, 700])
        words = np.random.default_rng(first).integers(0, 2**50, (5, end - first), np.uint64)
        words[0] = words[3] = np.arange(first, end)
        words[4] = 7 * words[3]
        rows = Rows(run, end - first, [Block(("x", "y"), bytes([1, 1]), None, words)])
        assert store.add_metrics(run, rows, Span(f"w{writer}", first, end)).stored == end - first
        sys.stdout.write(f"w{writer} {end}\\n")
        sys.stdout.flush()
        first = end

def folding():
    while True:
        if store.fold():
            sys.stdout.write("folded 0\\n")
            sys.stdout.flush()

for writer in range(2):
    threading.Thread(target=post, args=(writer,)).start()
for _ in range(2):
    threading.Thread(target=folding).start()
"""


@pytest.mark.crash
def test_killing_the_folder_loses_no_row_and_repeats_none(
    tmp_path: Path, rng: random.Random
) -> None:
    """Method: kill at a random step of folding, reopen, read all back; the next goes on there."""
    ends: dict[str, int] = {}
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(tmp_path), str(rng.randrange(2**16))],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            steps = rng.randint(2, 40)
            for line in child.stdout:
                what, end = line.split()
                if what != "folded":
                    ends[what] = int(end)
                    continue
                steps -= 1
                if steps == 0:
                    child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        found = audit(tmp_path)
        assert found.faults == []
        store = open_store(str(tmp_path))
        try:
            stored = {writer: ranges[-1][1] for writer, ranges in store.writers(RUN).items()}
            assert all(stored[writer] >= end for writer, end in ends.items())
            series = store.series(RUN, ["x", "y"])
            expected = np.concatenate([np.arange(end) for end in stored.values()])
            assert series["x"].step.tolist() == expected.tolist()
            assert series["x"].values.tolist() == expected.tolist()
            assert series["y"].values.tolist() == (7 * expected).tolist()
            cut = store.cut(RUN, ["x"], "step", 50)["x"]
            assert cut.count.sum() == len(expected) == found.rows
            assert (cut.min.min(), cut.max.max()) == (0, max(stored.values()) - 1)
        finally:
            store.close()
