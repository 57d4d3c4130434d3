"""The real server as a process: ``server`` shared by a session, ``fresh_server`` one a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import requests

from simvue import wire

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
# A start takes about a second; this is for a machine that is busy with everything else.
START_S_MAX = 60
STOP_S_MAX = 30


class Server:
    """A ``simvue server`` process and how to speak to it.

    ``url`` has no ``/api``; ``token`` is the administrator's; ``data`` is its directory.
    *before* is Python code that it runs first, to shrink limits.
    """

    def __init__(self, data: Path, *arguments: str, before: str = "") -> None:
        self.data = data
        self.arguments = arguments
        self.before = before
        self.log = data.parent / f"{data.name}.log"
        self.port = 0
        self.process: subprocess.Popen[str]
        self.start()

    # ---- Life -------------------------------------------------------------------
    def start(self) -> None:
        """Start the process and wait until it says that it is ready."""
        self.process = run_server(
            *("--data", str(self.data), "--port", str(self.port), *self.arguments),
            log=self.log,
            before=self.before,
        )
        assert self.process.stdout is not None
        late = threading.Timer(START_S_MAX, self.process.kill)
        late.start()
        try:
            for line in self.process.stdout:
                word, _, url = line.strip().partition(" ")
                if word == "ready":
                    break
            else:
                raise AssertionError(f"the server did not start:\n{self.log_text()}")
        finally:
            late.cancel()
        self.url = url
        self.port = int(url.rpartition(":")[2])
        settings = tomllib.loads((self.data / "simvue.toml").read_text())
        self.token = settings["server"]["token"]

    def kill(self) -> None:
        """Kill the process as a power cut would."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """Ask the process to stop; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def restart(self) -> None:
        """Start again, on the same port, after ``kill`` or ``stop``."""
        self.start()

    def wait(self) -> int:
        """Wait for the end of the process, which is near; return its exit status."""
        try:
            return self.process.wait(STOP_S_MAX)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def log_text(self) -> str:
        """Return what the process has said on stderr."""
        return self.log.read_text() if self.log.exists() else ""

    # ---- Speech -----------------------------------------------------------------
    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send one request with the token; *path* is below ``/api``."""
        headers = {"Authorization": f"Bearer {self.token}", **arguments.pop("headers", {})}
        return requests.request(
            method, f"{self.url}/api{path}", headers=headers, timeout=30, **arguments
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """GET *path*, assert 200, return the JSON."""
        return good(self.ask("GET", path, params=parameters))

    def post(self, path: str, value: Any) -> Any:
        """POST *value* as JSON, assert 200, return the JSON."""
        return good(self.ask("POST", path, json=value))

    def put(self, path: str, value: Any = None) -> Any:
        """PUT *value* as JSON (None: an empty body), assert 200, return the JSON."""
        return good(self.ask("PUT", path, **({} if value is None else {"json": value})))

    def delete(self, path: str, **parameters: Any) -> Any:
        """DELETE *path*, assert 200, return the JSON."""
        return good(self.ask("DELETE", path, params=parameters))

    def new_run(self, **members: Any) -> str:
        """Create a run, by default running in ``/tests``; return its id."""
        run = {"folder": "/tests", "name": "a run", "status": "running", **members}
        identifier: str = self.post("/runs", run)["id"]
        return identifier

    def send(self, path: str, value: Any, headers: dict[str, str] | None = None) -> Any:
        """POST *value* as msgpack and return the response, whatever its status."""
        return self.ask(
            "POST",
            path,
            data=value if isinstance(value, bytes) else msgpack.packb(value),
            headers={"Content-Type": wire.MSGPACK, **(headers or {})},
        )

    def send_rows(
        self, run: str, rows: list[dict[str, Any]], writer: str | None = None, first: int = 0
    ) -> Any:
        """POST metric *rows*, numbered from *first* if they have a *writer*; return the JSON."""
        headers = {}
        if writer is not None:
            headers = {
                wire.WRITER_HEADER: writer,
                wire.ROWS_HEADER: wire.rows_header(first, first + len(rows)),
            }
        return good(self.send("/metrics", {"run": run, "metrics": rows}, headers))


def good(response: requests.Response) -> Any:
    """Assert status 200 and return the JSON, which every good answer carries."""
    assert response.status_code == 200, f"{response.status_code}: {response.text[:500]}"
    return response.json()


def run_server(*arguments: str, log: Path, before: str = "") -> subprocess.Popen[str]:
    """Start ``simvue server``; its stderr goes to *log*, its stdout is a pipe.

    *before* is Python code that it runs first.
    """
    program = ["-m", "simvue"]
    if before:
        program = ["-c", f"import sys\n{before}\nfrom simvue.cli import main\nsys.exit(main())"]
    with log.open("a") as stderr:
        return subprocess.Popen(
            [sys.executable, *program, "server", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it alive; they keep apart by their runs' ids."""
    running = Server(tmp_path_factory.mktemp("server") / "data")
    yield running
    assert running.stop() == 0, running.log_text()
    assert "Traceback" not in running.log_text(), running.log_text()


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to kill and restart."""
    running = Server(tmp_path / "data")
    yield running
    running.kill()
