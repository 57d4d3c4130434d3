"""The line from a simulation's process to its node's shipper: start it, ask it, hear it.

A Unix socket in the runtime directory; JSON, a message a line::

    run -> shipper    {"ask": 1, "open": <run>, "process": <id>}     register, answer when known
                      {"ask": 2, "find": <name>, "server": {...}}    the id of a run to continue
                      {"ask": 3, "left": <run>}                      where what is not sent lies
                      {"flush": <run>, "process": <id>}              all is due now
                      {"spool": <run>, "process": <id>}              all that waits goes to disk
                      {"forget": <run>, "process": <id>}             there is no such run
                      {"hello": [<run>, ...], "process": <id>}       to a new shipper: mine
                      (an empty line)                                a segment is full
    shipper -> run    {"answer": 1, ...}  {"abort": <run>}  {"warn": <text>}

One daemon thread a process blocks in ``recv``; nothing polls.  The simulation's process
opens no other connection, and never imports an HTTP library.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import site
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from simvue.runtime import SOCKET_NAME, Runtime, Starter, this_process

_logger = logging.getLogger("simvue")

_CONNECT_SLICE_S: Final = 0.005
"""Between two looks for the socket of a shipper that is starting (it takes about 0.2 s)."""

_START_AGAIN_S: Final = 3.0
"""A shipper that is not there by then was killed while it started; a busy machine takes two."""

REVIVE_S: Final = 5.0
"""How long a link looks for a new shipper when the last one died; later calls look again."""

_LAUNCHER_VARIABLES: Final = (
    "OMPI_", "PMI_", "PMIX_", "PALS_", "MPI_", "HYDI_", "HYDRA_",
    "SLURM_STEP", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_TASK", "LD_PRELOAD",
)  # fmt: skip
"""Variables by which an MPI launcher knows its own: the shipper is not a rank."""


class Link:
    """One process's connection to the shipper of *runtime*, made when first asked for."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pid = os.getpid()
        self.starts = True
        """Whether it may start a shipper; not where the site does (SIMVUE_SHIPPER=external)."""
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._saying = threading.Lock()
        self._numbers = itertools.count(1)
        self._answers: dict[int, tuple[threading.Event, dict[str, Any]]] = {}
        self.runs: dict[str, Callable[[], None]] = {}
        """The open runs of this process, and what to do when the server aborts one."""

    def ask(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
        """Send a question and wait for its answer; None if none came within *timeout_s* seconds.

        A shipper is started if none is there.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            number = next(self._numbers)
            arrived = threading.Event()
            self._answers[number] = (arrived, {})
            try:
                if not self._connect(deadline):
                    return None
                if not self.tell({"ask": number, **message}):
                    continue
                if not arrived.wait(max(0.0, deadline - time.monotonic())):
                    return None
                answer = self._answers[number][1]
            finally:
                del self._answers[number]
            # Empty: the shipper left just then, and the next one is asked.
            if answer:
                return answer
        return None

    def tell(self, message: dict[str, Any]) -> bool:
        """Send a message that has no answer; False if no shipper is connected."""
        connection = self._socket
        if connection is None:
            return False
        with self._saying:
            try:
                connection.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                return False
        return True

    def nudge(self) -> None:
        """Wake the shipper, if it listens: a segment is full.  Never waits; one system call."""
        connection = self._socket
        # While another thread speaks, its words wake the shipper as well.
        if connection is None or not self._saying.acquire(blocking=False):
            return
        try:
            connection.send(b"\n", socket.MSG_DONTWAIT)
        except OSError:
            pass
        finally:
            self._saying.release()

    def revive(self, timeout_s: float = REVIVE_S) -> bool:
        """Have a shipper again if the last one went; False if none can be had in that time."""
        if self._socket is not None:
            return True
        if not self._connect(time.monotonic() + timeout_s):
            return False
        return self.tell({"hello": list(self.runs), "process": this_process().id})

    def belongs_to(self, runtime: Runtime) -> bool:
        """Whether this is still the link of this process to *runtime*; not so in a forked child."""
        return self._pid == os.getpid() and self._runtime is runtime

    def _connect(self, deadline: float) -> bool:
        with self._lock:
            if self._socket is not None:
                return True
            connection = connect(self._runtime)
            if connection is None and self.starts:
                connection = self._start_and_connect(deadline)
            if connection is None:
                return False
            self._socket = connection
        threading.Thread(
            target=self._hear, args=(connection,), name="simvue-link", daemon=True
        ).start()
        return True

    def _start_and_connect(self, deadline: float) -> socket.socket | None:
        """Have a shipper started, by this process or by another that is at it already."""
        starter = Starter(self._runtime)
        try:
            started_at = -math.inf
            while (now := time.monotonic()) < deadline:
                if now - started_at >= _START_AGAIN_S and starter.is_ours():
                    if not start_shipper(self._runtime):
                        return None
                    started_at = now
                time.sleep(_CONNECT_SLICE_S)
                connection = connect(self._runtime)
                if connection is not None:
                    return connection
            return None
        finally:
            starter.close()

    def _hear(self, connection: socket.socket) -> None:
        """Block in recv until the shipper goes, handing on what it says."""
        with connection.makefile("rb") as lines:
            try:
                for line in lines:
                    self._take(json.loads(line))
            except (OSError, ValueError):
                pass
        with self._lock:
            self._socket = None
        connection.close()
        for arrived, _ in list(self._answers.values()):
            arrived.set()
        if self.runs:
            # Somebody killed it: the next one adopts what it left.
            self.revive()

    def _take(self, message: dict[str, Any]) -> None:
        if "answer" in message:
            waiting = self._answers.get(message["answer"])
            if waiting is not None:
                waiting[1].update(message)
                waiting[0].set()
        elif "abort" in message:
            call = self.runs.get(message["abort"])
            if call is not None:
                call()
        elif "warn" in message:
            _logger.warning("%s", message["warn"])


_link: Link | None = None


def this_link() -> Link:
    """Return this process's own link, a new one after a fork."""
    global _link
    runtime = this_process().runtime
    if _link is None or not _link.belongs_to(runtime):
        _link = Link(runtime)
    return _link


def connect(runtime: Runtime) -> socket.socket | None:
    """Connect to the shipper that listens in *runtime*; None if none does, or a stranger."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(socket_path(runtime))
        # Only our own shipper gets to hear where our runs go.
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("iII", credentials)[1] != os.geteuid():
            raise OSError("the socket belongs to somebody else")
    except OSError:
        connection.close()
        return None
    return connection


def socket_path(runtime: Runtime) -> str:
    """Return a path to the socket that fits ``sun_path``, however deep the directory lies."""
    return f"/proc/self/fd/{runtime.fd}/{SOCKET_NAME}"


def start_shipper(runtime: Runtime) -> bool:
    """Start a shipper that outlives this process and is not its child; False if no Python is found.

    A shell puts it in the background and ends at once, so ``wait()`` loops and mpirun do not
    see it; it holds none of our descriptors, as a held stdout makes ssh and capture_output
    wait for ever.
    """
    python = _python()
    if python is None:
        _logger.warning(
            "no Python interpreter to start the shipper with: set SIMVUE_PYTHON to one that has "
            "simvue, or run 'simvue ship --forever' on this node; nothing is lost meanwhile"
        )
        return False
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(_LAUNCHER_VARIABLES)
    }
    environment["SIMVUE_RUNTIME_DIRECTORY"] = runtime.path
    root = str(Path(__file__).resolve().parent.parent)
    if root not in site.getsitepackages():
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{known}" if known else root
    command = 'cd / && umask 077 && "$0" -m simvue.shipper </dev/null >/dev/null 2>&1 &'
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", command, python],
        environment,
        # A batch system's SIGINT is for the simulation.
        setpgroup=0,
    )
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # The simulation reaps every child itself.
    return True


def _python() -> str | None:
    chosen = os.environ.get("SIMVUE_PYTHON")
    if chosen:
        return chosen
    if sys.executable and "python" in os.path.basename(sys.executable).lower():
        return sys.executable
    # An embedded interpreter: sys.executable is the simulation itself.
    candidate = os.path.join(sys.prefix, "bin", "python3")
    return candidate if os.access(candidate, os.X_OK) else None
