"""A node of its own for a test: runtime directory, spool, shipper; simulations as processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_server import Server

from simvue.client import Client
from simvue.wire import new_id

ROOT = Path(__file__).parent.parent
WAIT_S_MAX = 30
"""For what happens within a second or two on an idle machine."""

PROLOGUE = """
import logging, os, signal, sys, threading, time
logging.basicConfig(format="%(message)s")
from simvue import Run
"""


class Node:
    """What one user has on one machine; simulations run there against *server*."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.server = server
        self.runtime = Path("/dev/shm") / f"simvue-test-{new_id()}"
        self.runtime.mkdir(mode=0o700)
        self.cache = directory / "cache"
        self.directory = directory
        self._started: list[subprocess.Popen[str]] = []
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SIMVUE_URL": server.url,
            "SIMVUE_TOKEN": server.token,
            "SIMVUE_RUNTIME_DIRECTORY": str(self.runtime),
            "SIMVUE_OFFLINE_DIRECTORY": str(self.cache),
            # A run has the writers and rows that its test made; test_measuring.py sets this back.
            "SIMVUE_DISABLE_RESOURCES_METRICS": "1",
        }

    def start(self, source: str, **env: str) -> subprocess.Popen[str]:
        """Start a simulation; its stdout and stderr are one pipe."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + textwrap.dedent(source)],
            env={**self.env, **env},
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def simulate(self, source: str, status: int = 0, **env: str) -> str:
        """Run a simulation to its end, assert its exit *status*, return what it printed."""
        process = self.start(source, **env)
        output, _ = process.communicate(timeout=90)
        assert process.returncode == status, output
        return output

    def command(self, *arguments: str) -> str:
        """Run a ``simvue`` command, assert that it succeeds, return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "simvue", *arguments],
            env=self.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def client(self) -> Client:
        """A client of the node's server."""
        return Client(server_url=self.server.url, server_token=self.server.token)

    def run_id(self, name: str) -> str:
        """Return the id of the run of that name."""
        return self.client.get_run_id_from_name(name)

    def steps(self, run: str, metric: str = "x") -> list[int]:
        """Return the steps of a series as they were logged; empty while there is none."""
        if metric not in list(self.client.get_metrics_names(run)):
            return []
        return list(self.client.get_series(run, metric).step)

    def status(self, run: str) -> str:
        """Return the run's status on the server."""
        return str(self.server.get(f"/runs/{run}")["status"])

    def shippers(self) -> list[int]:
        """Return the pids of the shippers of this node that have taken office."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            ours = b"simvue.shipper" in command and str(self.runtime).encode() in environment
            # The shell that starts it is gone at once, and is no shipper.
            if ours and not command.startswith(b"sh\0"):
                found.append(int(entry.name))
        return found

    def kill_shipper(self) -> None:
        """``kill -9`` the node's shipper."""
        for pid in self.shippers():
            os.kill(pid, signal.SIGKILL)

    def log_text(self) -> str:
        """Return the shipper's log, for a failure."""
        log = self.runtime / "shipper.log"
        return log.read_text() if log.exists() else ""

    def close(self) -> None:
        """End what runs here and remove it."""
        for process in self._started:
            process.kill()
            process.communicate()
        self.kill_shipper()
        shutil.rmtree(self.runtime, ignore_errors=True)


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until *condition* holds; the wait is for a program of ours, so it is bounded."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S_MAX} s: {what}"
        time.sleep(0.02)  # between two looks at another process


@pytest.fixture
def node(server: Server, tmp_path: Path) -> Iterator[Node]:
    """A node whose simulations use the shared server."""
    made = Node(tmp_path, server)
    yield made
    made.close()


@pytest.fixture
def fresh_node(fresh_server: Server, tmp_path: Path) -> Iterator[Node]:
    """A node whose server is its own, to kill and restart."""
    made = Node(tmp_path, fresh_server)
    yield made
    made.close()
