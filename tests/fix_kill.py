"""Killing things at seeded random moments, and counting what that cost.

A victim logs at full speed and notes in a mapped file, outside everything of ours, how
many rows were returned.  What the server has in the end is compared with that, row by row.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fix_node import Node, eventually

KILLS = int(os.environ.get("SIMVUE_TEST_KILLS") or 10)
"""Of each kind that count; ``make crash`` sets 200."""

SHARE_MIN = 0.01
"""A kill that finds a smaller part of the returned rows outstanding puts nothing to the test,
and does not count."""

TRIES_MAX = 4
"""For each kill that counts; usually one or two are enough."""

VICTIM = """
import mmap, struct
counter = mmap.mmap(os.open({counter!r}, os.O_RDWR), 8)
run = Run()
# At this speed a second without a shipper fills the queue: no row is to be dropped here.
run.config(queue_blocking=True)
run.init({name!r}, timeout=None)
print(run.id, flush=True)
log, note = run.log_metrics, struct.Struct("<q").pack_into
step = 0
while step < {rows}:
    # The value is the step's, so that a row in a wrong place shows.
    log({{"x": step * 0.5, "y": float(-step), "z": 1e300}}, step=step)
    step += 1
    note(counter, 0, step)
print("closed", run.close(), run.dropped, flush=True)
"""


@dataclass
class Victim:
    """A simulation that may be killed at any moment."""

    node: Node
    process: subprocess.Popen[str]
    run: str
    counter: Path

    @property
    def returned(self) -> int:
        """Rows whose ``log_metrics`` had returned, as the victim last noted."""
        return int(struct.unpack("<q", self.counter.read_bytes())[0])


@dataclass
class Toll:
    """What the kills of one kind cost, in rows."""

    tried: int = 0
    kills: int = 0
    """Those that count."""
    returned: int = 0
    outstanding: int = 0
    lost: int = 0
    doubled: int = 0


_tolls: dict[str, Toll] = {}
"""By what was killed, for the table at the end."""


class Killer:
    """Starts victims on a node and holds the server's rows against what they noted."""

    def __init__(self, node: Node, rng: random.Random) -> None:
        self.node = node
        self.rng = rng
        self.toll = Toll()
        """Of the kind that is under way."""
        self._made = 0

    def tries(self, what: str, kills: int = KILLS) -> Iterator[None]:
        """Go on, to kill *what* once more or several times, until so many *kills* counted."""
        self.toll = _tolls.setdefault(what, Toll())
        enough = self.toll.kills + kills
        while self.toll.kills < enough:
            assert self.toll.tried < TRIES_MAX * (enough + 1), "nearly all kills find nothing"
            yield

    def start(self, rows: int = 1 << 40) -> Victim:
        """Start a victim that logs *rows* rows, by default until it is killed."""
        self._made += 1
        counter = self.node.directory / f"returned-{self._made}"
        counter.write_bytes(bytes(8))
        source = VICTIM.format(counter=str(counter), name=f"victim-{self._made}", rows=rows)
        process = self.node.start(source)
        assert process.stdout is not None
        run = next(line for line in process.stdout if " " not in line.strip()).strip()
        return Victim(self.node, process, run, counter)

    def wait_for_rows(self, victim: Victim) -> None:
        """Let the victim log a random number of rows, the first few or a million."""
        rows = int(10 ** self.rng.uniform(1, 5.7))
        eventually(lambda: victim.returned >= rows or victim.process.poll() is not None, "rows")

    def note(self, victim: Victim) -> None:
        """Note how much was on the way at this moment."""
        stored = self.stored(victim)
        returned = victim.returned
        outstanding = max(0, returned - stored)
        self.toll.tried += 1
        self.toll.kills += outstanding >= SHARE_MIN * max(returned, 1)
        self.toll.outstanding += outstanding

    def stored(self, victim: Victim) -> int:
        """Return how many rows the server has committed."""
        answer = self.node.server.ask("GET", f"/runs/{victim.run}/writers")
        if answer.status_code != 200:
            return 0
        return sum(end - first for ranges in answer.json().values() for first, end in ranges)

    def check(self, victim: Victim) -> None:
        """Hold what the server has against what was returned, value by value."""
        returned = victim.returned
        x = self.node.client.get_series(victim.run, "x") if self.stored(victim) else None
        steps = list(x.step) if x is not None else []
        values = list(x.values) if x is not None else []
        there = set(steps)
        self.toll.returned += returned
        self.toll.lost += sum(step not in there for step in range(returned))
        self.toll.doubled += len(steps) - len(there)
        assert steps == list(range(len(steps))), "rows out of order, torn or doubled"
        assert len(steps) >= returned, f"{returned - len(steps)} of {returned} returned rows lost"
        assert values == [step * 0.5 for step in steps]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the kills cost."""
    if not _tolls:
        return
    terminalreporter.section("kills")
    columns = ("tried", "kills", "returned", "outstanding", "lost", "doubled")
    line = "{:<12}" + "{:>8}{:>8}{:>14}{:>14}{:>8}{:>8}"
    terminalreporter.write_line(line.format("killed", *columns))
    for what, toll in _tolls.items():
        numbers = [f"{getattr(toll, column):,}" for column in columns]
        terminalreporter.write_line(line.format(what, *numbers))
    terminalreporter.write_line(
        "kills: those that found at least 1 % of the returned rows outstanding; the rest in rows"
    )


@pytest.fixture
def killer(node: Node, rng: random.Random) -> Killer:
    """A killer on a node that uses the shared server."""
    return Killer(node, rng)


@pytest.fixture
def fresh_killer(fresh_node: Node, rng: random.Random) -> Killer:
    """A killer whose server may be killed too."""
    return Killer(fresh_node, rng)
