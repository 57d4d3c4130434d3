"""A node of a bench's own: a server, a runtime directory and a spool that it shares with nobody.

::

    the bench  ──  Child   a simulation: code in a process, JSON lines both ways
        │            │
        │          /dev/shm/simvue-bench-*   segments, and the shipper that the first Run started
        │            │
        └── HTTP ──  server, in a directory on a real disk
"""

from __future__ import annotations

import http.client
import json
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from benches.processes import is_running
from simvue import Client

ROOT = Path(__file__).parent.parent

PATIENCE_S = 300.0
"""How long anything may take before it is killed and the bench fails; nothing comes near it."""


class Node:
    """A server with its store in *directory*, and everything a run needs to reach it.

    *arguments* are more of the server's, *environment* more of its variables.  A context
    manager; at its end no process and no file outside *directory* is left.
    """

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SIMVUE_")}
        self.environment |= {"PYTHONPATH": str(ROOT), **environment}
        self._arguments = arguments
        self._directory = directory
        self._log = open(directory / "server.log", "w")  # noqa: SIM115 - closed in __exit__
        self._port = 0
        self.server = self.start_server()
        self.token = _find_token((directory / "data" / "simvue.toml").read_text())
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        # mkdtemp makes it 0700, as a runtime directory has to be.
        self.runtime = Path(tempfile.mkdtemp(prefix="simvue-bench-", dir=memory))
        self.environment |= {
            "SIMVUE_URL": self.url,
            "SIMVUE_TOKEN": self.token,
            "SIMVUE_RUNTIME_DIRECTORY": str(self.runtime),
            "SIMVUE_OFFLINE_DIRECTORY": str(directory / "spool"),
            # A spool that is not drained at once is a failure here, not work for later.
            "SIMVUE_LINGER": "0",
        }
        # It connects when it is asked something, also once the server was away.
        self._http = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_S)

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_shipper()
        self.stop_server()
        self._log.close()
        shutil.rmtree(self.runtime, ignore_errors=True)

    def start(self, code: str, **settings: object) -> Child:
        """Start *code* in a process; *settings* are ``SIMVUE_`` variables in small letters."""
        added = {f"SIMVUE_{name.upper()}": str(value) for name, value in settings.items()}
        return Child(code, {**self.environment, **added})

    # ---- The server ---------------------------------------------------------------------

    def start_server(self) -> subprocess.Popen[str]:
        """Start the server, again on its port if it was there before; return once it is ready."""
        data, port = self._directory / "data", str(self._port)
        self.server = subprocess.Popen(
            [
                *(sys.executable, "-m", "simvue", "server", "--data", data, "--port", port),
                *self._arguments,
            ],
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.server.stdout is not None
        late = threading.Timer(PATIENCE_S, self.server.kill)
        late.start()
        ready = next((s for s in self.server.stdout if s.startswith("ready ")), "")
        late.cancel()
        log = (self._directory / "server.log").read_text()
        assert ready, f"the server did not start: {log}"
        self.url = ready.split()[1]
        self._port = urlsplit(self.url).port or 0
        return self.server

    def stop_server(self) -> None:
        """End the server and wait for its end."""
        self._http.close()
        self.server.terminate()
        self.server.wait(PATIENCE_S)
        assert self.server.stdout is not None
        self.server.stdout.close()

    # ---- The shipper --------------------------------------------------------------------

    @property
    def shipper(self) -> int | None:
        """The shipper's process id, None if none listens: whoever made the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            try:
                line.connect(str(self.runtime / "shipper.sock"))
            except OSError:
                return None
            pid: int = struct.unpack(
                "iII", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )[0]
            return pid

    def stop_shipper(self) -> None:
        """Ask the shipper to end, and wait until it has."""
        pid = self.shipper
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE_S
        while is_running(pid) and time.monotonic() < end:
            time.sleep(0.01)

    # ---- What the server has --------------------------------------------------------------

    def stored(self, run: str) -> int:
        """Return how many rows of the run's largest writer are committed; 0 of an unknown run."""
        writers: dict[str, list[tuple[int, int]]] = self._ask(f"runs/{run}/writers") or {}
        return max(
            (sum(end - first for first, end in ranges) for ranges in writers.values()), default=0
        )

    def status(self, run: str) -> str:
        """Return the run's status; raises TypeError if there is no such run."""
        return str(self._ask(f"runs/{run}")["status"])

    def wait_for_status(self, run: str, status: str) -> None:
        """Return once the run has this status; raise AssertionError if it never has."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.status(run)) != status:
            assert time.monotonic() < end, f"{run} is {found}, not {status}"
            time.sleep(0.01)

    def _ask(self, path: str) -> Any:
        """Return what the server answers over HTTP; None if it does not know the object."""
        self._http.request("GET", f"/api/{path}", headers={"Authorization": f"Bearer {self.token}"})
        response = self._http.getresponse()
        text = response.read()
        if response.status == 404:
            return None
        assert response.status == 200, f"{response.status}: {text[:200]!r}"
        return json.loads(text)

    def check(self, run: str, rows: int, sums: dict[str, float]) -> None:
        """Assert that the server has *rows* of every metric, and exactly these sums of values."""
        with Client(server_url=self.url, server_token=self.token) as client:
            for name, total in sums.items():
                series = client.get_series(run, name)
                assert len(series) == rows, f"{name}: {len(series)} rows of {rows}"
                # fsum rounds once, so the order of the rows does not matter.
                assert math.fsum(series.values) == total, f"{name}: another sum"


class Child:
    """Python code in a process of its own, in the checkout; it prints JSON objects, a line each."""

    def __init__(self, code: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._late = threading.Timer(PATIENCE_S, self._process.kill)
        self._late.start()

    def hear(self) -> dict[str, Any]:
        """Return the next object it prints; raise AssertionError if it ends instead."""
        assert self._process.stdout is not None
        # A run announces itself on stdout; that is for people.
        line = next((line for line in self._process.stdout if line.startswith("{")), None)
        assert line is not None, f"the process ended with status {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def go_on(self, word: str = "") -> None:
        """Let it go on from where it reads a line of its standard input, which is *word*."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def ask(self, word: str) -> dict[str, Any]:
        """Let it go on with *word*, and return the next object it prints."""
        self.go_on(word)
        return self.hear()

    def close_input(self) -> None:
        """Close its standard input, where it may wait for that before it closes its run."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None

    def end(self) -> None:
        """Close its standard input and wait for its end, which has to be a good one."""
        self._process.communicate()
        self._late.cancel()
        assert self._process.returncode == 0, f"status {self._process.returncode}"


def _find_token(settings: str) -> str:
    """Return the token of a ``simvue.toml``; Python 3.10 cannot read TOML by itself."""
    return next(
        line.partition("=")[2].strip().strip('"')
        for line in settings.splitlines()
        if line.startswith("token")
    )
