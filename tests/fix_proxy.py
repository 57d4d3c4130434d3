"""A proxy between the node and the server that misbehaves on demand."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from fix_node import Node
from fix_server import Server


@dataclass
class Request:
    """One request as it came; ``body`` may be long."""

    method: str
    path: str
    head: bytes
    body: bytes
    at: float
    """When it had come, on the monotonic clock."""


Behaviour = Callable[[Request, socket.socket, Callable[[], bytes]], None]
"""What to do with a request: (request, the client's connection, what forwards it)."""


def answer(status: int, body: bytes = b'{"detail": "by the proxy"}', **headers: str) -> bytes:
    """Encode a response."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Proxy:
    """Forwards each request; those whose path begins with ``only`` as it was told to."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.requests: list[Request] = []
        self.connections = 0
        """Made by clients so far."""
        self.streams = 0
        """Of events, asked for so far."""
        self.passes_streams = True
        self.only = "/api/"
        self._rules: list[tuple[int, Behaviour]] = []
        self._rule: Behaviour | None = None
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with proxy._lock:
                    proxy.connections += 1
                while proxy._serve(self.rfile, self.connection):
                    pass

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.daemon_threads = True
        self._listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    # ---- Ways to misbehave -----------------------------------------------------------
    def say(self, times: int, status: int, **headers: str) -> None:
        """Answer the next *times* requests with *status* and do nothing else."""
        self._add(times, lambda request, client, forward: client.sendall(answer(status, **headers)))

    def lose_answers(self, times: int) -> None:
        """Carry out the next *times* requests, and cut the connection instead of answering."""

        def behave(request: Request, client: socket.socket, forward: Callable[[], bytes]) -> None:
            forward()
            client.shutdown(socket.SHUT_RDWR)

        self._add(times, behave)

    def cut(self, times: int) -> None:
        """Cut the connection of the next *times* requests before they reach the server."""
        self._add(times, lambda request, client, forward: client.shutdown(socket.SHUT_RDWR))

    def garble(self, times: int) -> None:
        """Change the last byte of the body of the next *times* requests."""

        def behave(request: Request, client: socket.socket, forward: Callable[[], bytes]) -> None:
            request.body = request.body[:-1] + bytes([request.body[-1] ^ 1])
            client.sendall(forward())

        self._add(times, behave)

    def let_pass(self, times: int) -> None:
        """Forward the next *times* requests as they are; what is said after that comes then."""
        self._add(times, lambda request, client, forward: client.sendall(forward()))

    def hold(self, times: int) -> threading.Event:
        """Have the next *times* requests wait until the event is set."""
        let_go = threading.Event()

        def behave(request: Request, client: socket.socket, forward: Callable[[], bytes]) -> None:
            let_go.wait()
            client.sendall(forward())

        self._add(times, behave)
        return let_go

    def limit_bodies(self, size: int) -> None:
        """From here on answer 413 to every body larger than *size* bytes."""

        def behave(request: Request, client: socket.socket, forward: Callable[[], bytes]) -> None:
            client.sendall(answer(413) if len(request.body) > size else forward())

        self._rule = behave

    def behave(self) -> None:
        """Forward everything as it is again."""
        with self._lock:
            self._rules.clear()
            self._rule = None

    def _add(self, times: int, behaviour: Behaviour) -> None:
        with self._lock:
            self._rules.append((times, behaviour))

    def _next(self) -> Behaviour | None:
        with self._lock:
            if not self._rules:
                return self._rule
            times, behaviour = self._rules[0]
            if times == 1:
                self._rules.pop(0)
            else:
                self._rules[0] = (times - 1, behaviour)
            return behaviour

    @property
    def is_done(self) -> bool:
        """Whether all that was to go wrong has."""
        with self._lock:
            return not self._rules

    # ---- The way through ----------------------------------------------------------------
    def _serve(self, stream: object, client: socket.socket) -> bool:
        request = _read_request(stream)
        if request is None:
            return False
        if request.path.startswith("/api/live"):
            # Beside the requests that a test counts and spoils: what it brings, they bring too.
            self.streams += 1
            if self.passes_streams:
                self._pass_stream(request, client)
            return False
        self.requests.append(request)
        behaviour = self._next() if request.path.startswith(self.only) else None
        try:
            if behaviour is None:
                client.sendall(self._forward(request))
            else:
                behaviour(request, client, lambda: self._forward(request))
        except OSError:
            return False
        return True

    def _pass_stream(self, request: Request, client: socket.socket) -> None:
        with suppress(OSError), self._ask(request) as server:
            for piece in iter(lambda: server.recv(1 << 16), b""):
                client.sendall(piece)

    def _ask(self, request: Request) -> socket.socket:
        server = socket.create_connection(("127.0.0.1", self.server.port))
        head = request.head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        server.sendall(head + request.body)
        return server

    def _forward(self, request: Request) -> bytes:
        with self._ask(request) as server:
            whole = b"".join(iter(lambda: server.recv(1 << 16), b""))
        # The connection to the client stays open.
        return whole.replace(b"connection: close\r\n", b"", 1)

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown()
        self._listener.server_close()


def _read_request(stream: object) -> Request | None:
    readline, read = stream.readline, stream.read  # type: ignore[attr-defined]
    first = readline()
    if not first:
        return None
    lines = [first]
    while lines[-1] not in (b"\r\n", b""):
        lines.append(readline())
    length = 0
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    method, path, _ = first.decode("latin-1").split(" ", 2)
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return Request(method, path, b"".join(kept), read(length), time.monotonic())


@pytest.fixture
def proxied(server: Server, tmp_path: Path) -> Iterator[tuple[Node, Proxy]]:
    """A node that reaches the shared server through a proxy."""
    node, proxy = Node(tmp_path, server), Proxy(server)
    node.env["SIMVUE_URL"] = proxy.url
    yield node, proxy
    node.close()
    proxy.close()
