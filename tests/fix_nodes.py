"""Nodes: several servers on one store, what stands before them, and who sends to all of them."""

from __future__ import annotations

import random
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import requests
from fix_postgres import drop_database, make_database
from fix_server import Server, good

from simvue import wire
from simvue.cli.demo.engines import Postgres, SeaweedFS
from simvue.client import Client

START_US = 1_770_000_000_000_000
REPLY_S_MAX = 90
"""A node that waits for a database or a storage that is away says so within a minute."""

Nodes = list[Server]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Starter = Callable[..., Nodes]


def start_nodes(directory: Path, store: str, blobs: str, before: str = "", count: int = 2) -> Nodes:
    """Start servers on the database *store*; *before* is Python code that shrinks their limits."""
    return [
        Server(directory / f"node-{i}", "--store", store, "--blobs", blobs, before=before)
        for i in range(count)
    ]


@pytest.fixture(scope="session")
def nodes(
    postgres: Postgres,
    store_template: str,
    seaweed: SeaweedFS,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Nodes]:
    """Two servers on one PostgreSQL and one S3, for all tests that leave them alive."""
    url = make_database(postgres, store_template)
    with pytest.MonkeyPatch.context() as patch:
        for name, text in seaweed.environment.items():
            patch.setenv(name, text)
        running = start_nodes(tmp_path_factory.mktemp("nodes"), url, seaweed.url_of(wire.new_id()))
    yield running
    for node in running:
        assert node.stop() == 0, node.log_text()
        assert "Traceback" not in node.log_text(), node.log_text()
    drop_database(postgres, url)


@pytest.fixture
def fresh_nodes(tmp_path: Path) -> Iterator[Starter]:
    """Starts nodes of the test's own, to kill: called as start_nodes, without the directory."""
    started: Nodes = []

    def start(store: str, blobs: str, before: str = "", count: int = 2) -> Nodes:
        started.extend(start_nodes(tmp_path, store, blobs, before, count))
        return started

    yield start
    for node in started:
        node.kill()


@pytest.fixture
def fresh_database(postgres: Postgres, store_template: str) -> Iterator[str]:
    """A new store in the shared PostgreSQL."""
    url = make_database(postgres, store_template)
    yield url
    drop_database(postgres, url)


# ---- Before the nodes ----------------------------------------------------------------------


class Balancer:
    """Hands each connection to the next of *nodes* that takes it, as what stands before them."""

    def __init__(self, nodes: Sequence[Server]) -> None:
        self._nodes = list(nodes)
        self._turn = 0
        balancer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                balancer._serve(self.request)

        self._listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown()
        self._listener.server_close()

    def _serve(self, client: socket.socket) -> None:
        for _ in self._nodes:
            self._turn += 1
            port = self._nodes[self._turn % len(self._nodes)].port
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()
                return


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        for piece in iter(lambda: source.recv(1 << 16), b""):
            sink.sendall(piece)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


# ---- Who sends to them ---------------------------------------------------------------------


def rows(first: int, end: int) -> list[dict[str, Any]]:
    """Make rows with these numbers: a row in a wrong place, or half of one, shows."""
    return [
        {
            "values": {"x": number, "y": 7 * number},
            "time": number / 1000,
            "timestamp": wire.format_timestamp(START_US + number),
            "step": number,
        }
        for number in range(first, end)
    ]


class Sender:
    """A thread that sends rows of a run of its own to any of *nodes*, again until they are taken.

    As a shipper does, but for what is in its hands: one body at a time.
    """

    def __init__(self, nodes: Sequence[Server], seed: int, body_max: int = 400) -> None:
        self.run = ""
        self.sent = 0
        """Rows, each as often as it was, whatever came of it."""
        self.acknowledged = 0
        """Rows; those of a writer are acknowledged in order."""
        self.refusals: list[str] = []
        """Answers that no server in trouble may give."""
        self.latency_s = 0.0
        """The longest that a body took which was taken at its first try."""
        self._nodes = list(nodes)
        self._random = random.Random(seed)
        self._body_max = body_max
        self._enough = threading.Event()
        self._abandoned = False
        self._session = requests.Session()
        self._writer = wire.new_id()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> Sender:
        """Register the run, and begin."""
        self.run = good(
            self._nodes[0].ask(
                "POST", "/runs", json={"name": "sender", "folder": "/sent", "status": "running"}
            )
        )["id"]
        self._thread.start()
        return self

    def finish(self) -> None:
        """Send what is in hand until it is taken, and end."""
        self._enough.set()
        self._thread.join()
        self._session.close()

    def abandon(self) -> None:
        """End soon, whatever is taken; for a test that failed."""
        self._abandoned = True
        self.finish()

    def _serve(self) -> None:
        while not self._enough.is_set():
            end = self.acknowledged + self._random.randint(1, self._body_max)
            self._send(self.acknowledged, end)
            self.acknowledged = end

    def _send(self, first: int, end: int) -> None:
        body = msgpack.packb({"run": self.run, "metrics": rows(first, end)})
        first_try = True
        while not self._abandoned:
            node = self._random.choice(self._nodes)
            headers = {
                "Authorization": f"Bearer {node.token}",
                "Content-Type": wire.MSGPACK,
                wire.WRITER_HEADER: self._writer,
                wire.ROWS_HEADER: wire.rows_header(first, end),
            }
            begun = time.monotonic()
            try:
                answer = self._session.post(
                    f"{node.url}/api/metrics", data=body, headers=headers, timeout=REPLY_S_MAX
                )
            except requests.RequestException:
                time.sleep(0.05)  # it is down: not to ask a thousand times a second
                first_try = False
                continue
            finally:
                self.sent += end - first
            if answer.status_code == 200:
                if first_try:
                    self.latency_s = max(self.latency_s, time.monotonic() - begun)
                return
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                self.refusals.append(f"{answer.status_code}: {answer.text[:200]}")
            time.sleep(0.05)  # shorter than it asks for: more is put to the test
            first_try = False


def compare(server: Server, senders: Sequence[Sender]) -> tuple[int, int]:
    """Return how many acknowledged rows are lost and how many are there twice, if read there.

    All *senders* have finished.
    """
    found = [differences(server, sender.run, sender.acknowledged) for sender in senders]
    return sum(len(lost) for lost, _ in found), sum(len(doubled) for _, doubled in found)


def differences(server: Server, run: str, count: int) -> tuple[Numbers, Numbers]:
    """Return which of the first *count* rows of a *run* are lost, and which are there twice.

    Asserts that they are what rows() made, and in order.
    """
    with Client(server_url=server.url, server_token=server.token) as client:
        x, y = (client.get_series(run, name) for name in ("x", "y"))
    steps = np.asarray(x.step)
    assert (steps == np.asarray(y.step)).all(), "half a row"
    assert (steps == np.asarray(x.values)).all(), "a row in a wrong place"
    assert (7 * steps == np.asarray(y.values)).all()
    there, times = np.unique(steps, return_counts=True)
    assert len(there) < len(steps) or (np.diff(steps) > 0).all(), "out of order"
    return np.setdiff1d(np.arange(count), there), there[times > 1]
