"""A wall clock that jumps: order and relative time come from the monotonic clock.

The clock is a library of ten lines between the program and the system's, so that both the
simulation and the server read what the test says; nothing of the machine is changed.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from fix_node import Node, eventually
from fix_server import Server

JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const volatile long *ahead_s;

__attribute__((constructor)) static void begin(void) {
    ahead_s = mmap(0, sizeof *ahead_s, PROT_READ, MAP_SHARED, open(getenv("CLOCK"), O_RDONLY), 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += *ahead_s;
    return status;
}
"""


class Clock:
    """The wall clock of the programs that are started with ``env``."""

    def __init__(self, directory: Path) -> None:
        source, library = directory / "clock.c", directory / "clock.so"
        source.write_text(JUMPING_CLOCK)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
        )
        self._file = directory / "ahead"
        self.jump_to(0)
        self.env = {"LD_PRELOAD": str(library), "CLOCK": str(self._file)}

    def jump_to(self, seconds: int) -> None:
        """Set the clock so many seconds ahead of the machine's, or behind it."""
        with open(self._file, "r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock that jumps."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to make a clock with")
    return Clock(tmp_path)


@pytest.fixture
def jumping_server(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A server that reads that clock."""
    with monkeypatch.context() as patch:
        for name, value in clock.env.items():
            patch.setenv(name, value)
        server = Server(tmp_path / "data")
    yield server
    server.kill()


def test_order_and_relative_time_outlive_every_jump_of_the_wall_clock(
    node: Node, clock: Clock
) -> None:
    """An hour ahead, two back, a day back: as a node does whose clock was wrong at its boot."""
    process = node.start(
        """
        run = Run()
        run.init("jumping", no_color=True)
        print(run.id, flush=True)
        step = 0
        while sys.stdin.readline() == "go\\n":
            for _ in range(1000):
                run.log_metrics({"x": float(step)}, step=step)
                step += 1
            print("wall", time.time(), flush=True)
        print("closed", run.close(), run.dropped, flush=True)
        """,
        **clock.env,
        SIMVUE_INIT_TIMEOUT="20",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    walls = []
    jumps = (0, 3600, -3600, -86_400, 0)
    for ahead in jumps:
        clock.jump_to(ahead)
        process.stdin.write("go\n")
        process.stdin.flush()
        walls.append(float(process.stdout.readline().split()[1]) - ahead)
    # The jumps reached the simulation: without them its clock only went on.
    assert all(0 <= later - earlier < 60 for earlier, later in pairwise(walls))
    output, _ = process.communicate("\n", timeout=60)
    assert "closed True 0" in output
    rows = node.client.get_series(run, "x")
    assert list(rows.step) == list(range(1000 * len(jumps)))
    times = list(rows.time)
    assert all(earlier <= later for earlier, later in pairwise(times))
    # A jump of an hour would show in them; the run took as long as a person would measure.
    assert 0 <= times[0] <= times[-1] < walls[-1] - walls[0] + 60
    assert node.status(run) == "completed"


def test_a_live_run_outlives_a_jump_of_the_servers_clock(
    jumping_server: Server, clock: Clock, tmp_path: Path
) -> None:
    """``lost`` is the server's own clock's business, and is left at the next sign of life."""
    node = Node(tmp_path, jumping_server)
    try:
        process = node.start(
            """
            run = Run()
            run.init("watched", timeout=3, no_color=True)
            print(run.id, flush=True)
            step = 0
            while sys.stdin.readline() == "go\\n":
                run.log_metrics({"x": float(step)}, step=step)
                step += 1
                print("logged", flush=True)
            print("closed", run.close(), run.dropped, flush=True)
            """,
            SIMVUE_INIT_TIMEOUT="20",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        for step, ahead in enumerate((0, 86_400, -86_400, 0)):
            clock.jump_to(ahead)
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "logged\n"
            eventually(lambda n=step: len(node.steps(run)) == n + 1, "the row")
            eventually(lambda: node.status(run) == "running", "a live run")
        output, _ = process.communicate("\n", timeout=60)
        assert "closed True 0" in output
        assert node.status(run) == "completed"
        assert node.steps(run) == [0, 1, 2, 3]
    finally:
        node.close()
