"""Who folds or packs may die at any instant: no row is lost by it, and none is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from fix_store import Engine

from simvue.server.store.audit import audit

KILLS = int(os.environ.get("SIMVUE_TEST_KILLS") or 10)
RUN = "R" * 22

# Two writers post bodies as fast as they can and say what was acknowledged, while two threads
# fold; the limits are so small that folds of three levels come and go all the time, and packs
# where there is an S3.
VICTIM = """
import random, sys, threading
import numpy as np
from simvue._columns import Block, Rows
from simvue.exception import StoreError
from simvue.server.store import Span, cells, fold, folding, leases, log, open_store, packs

url, blobs, seed, role = sys.argv[1], sys.argv[2] or None, int(sys.argv[3]), sys.argv[4]
fold.ROWS, fold.SLICE, folding.BODIES, folding.IDLE_S = 400, 7, 4, 0.01
cells.CELL, cells.FAN = 16, 3
packs.FOLDS = 2
log.CHECKPOINT_AT, log.LOG_MAX = 1 << 20, 4 << 20
# What the dead had ends at once; and where two share a store, each takes it from the other.
leases.LEASE_S = 0.0 if role == "race" else 0.2
store = open_store(url, blobs)
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

def folding(step):
    while True:
        try:
            if step():
                sys.stdout.write("folded 0\\n")
        except StoreError as error:
            assert role == "race" and "two servers fold at once" in str(error), error
            sys.stdout.write("raced 0\\n")
        sys.stdout.flush()

for writer in range(2 if role != "race" else 0):
    threading.Thread(target=post, args=(writer,)).start()
for step in [store.fold, store.fold, *([store.pack] if blobs else [])] * (role != "write"):
    threading.Thread(target=folding, args=(step,)).start()
"""


@pytest.mark.crash
@pytest.mark.timeout(300)
def test_killing_the_folder_loses_no_row_and_repeats_none(
    engine: Engine, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    """Method: kill at a random step of folding, reopen, read all back; the next goes on there."""
    # Beside a directory nothing is packed; where much is, a step takes ten times as long.
    blobs = request.getfixturevalue("bucket") if engine.kind == "postgres" else ""
    ends: dict[str, int] = {}
    for _ in range(max(3, KILLS // 3) if blobs else KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, engine.url(), blobs, str(rng.randrange(2**16)), "all"],
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
        check(engine, blobs, ends)
    if blobs:
        store = engine.open(blobs=blobs)
        with store._reading() as connection:
            assert connection.execute("SELECT count(*) FROM pack").fetchone()[0] > 0
        store.close()


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_two_that_fold_at_once_lose_no_row_and_repeat_none(engine: Engine, bucket: str) -> None:
    """Their leases end at once, so that each takes the other's work out of its hands."""
    # One that writes, and makes the run, and two that fold.
    command = [sys.executable, "-c", VICTIM, engine.url(), bucket, "1"]
    ends: dict[str, int] = {}
    steps = 0
    with subprocess.Popen([*command, "write"], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with (
            subprocess.Popen([*command, "race"], stdout=subprocess.PIPE, text=True) as one,
            subprocess.Popen([*command, "race"], stdout=subprocess.PIPE, text=True) as other,
        ):
            for racer in (one, other):
                assert racer.stdout is not None
                for _ in zip(range(2 * KILLS), racer.stdout, strict=False):
                    steps += 1
            for child in (one, other, writer):
                child.kill()
            for line in writer.stdout:
                ends[line.split()[0]] = int(line.split()[1])
    assert steps == 4 * KILLS, "both did some, or found that the other had"
    check(engine, bucket, ends)


def check(engine: Engine, blobs: str, ends: dict[str, int]) -> None:
    """Hold all that the store has against what was acknowledged."""
    found = audit(engine.url(), blobs or None)
    assert found.faults == []
    store = engine.open(blobs=blobs or None)
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
