"""The shipper's end of the links: who is connected, what they ask, what they are told."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
from collections.abc import Callable
from typing import Any

from simvue.delivery import Reply
from simvue.runtime import SOCKET_NAME, Runtime


class Client:
    """A simulation's process at the other end of its link."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.connection = connection
        self.pid = pid
        self.runs: set[str] = set()
        """The runs it has open, by the id they have in shared memory."""
        self.buffer = b""

    def say(self, message: dict[str, Any]) -> None:
        """Send a message, if it still listens."""
        # It may have died, or stopped reading: nobody waits for it.
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(message).encode() + b"\n", socket.MSG_DONTWAIT)

    def answer(self, number: int, reply: Reply) -> None:
        """Answer the question of that *number*."""
        content = reply.content if isinstance(reply.content, dict) else None
        outcome = reply.outcome.name
        self.say({"answer": number, "outcome": outcome, "detail": reply.detail, "content": content})


class Switchboard:
    """The listening socket and its clients; also what ends the main loop's sleep.

    *take* is called with each message and *left* for each client that goes, in ``wait``.
    """

    def __init__(
        self,
        runtime: Runtime,
        take: Callable[[Client, dict[str, Any]], None],
        left: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._take = take
        self._left = left
        self._clients: set[Client] = set()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drop_wakes)
        runtime.remove(SOCKET_NAME)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"/proc/self/fd/{runtime.fd}/{SOCKET_NAME}")
        # A job's ranks all come within the same second.
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def wait(self, seconds: float) -> None:
        """Sleep until something is said, somebody wakes us, or *seconds* have passed."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def wake(self) -> None:
        """End the sleep; callable from any thread and signal handler."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"w")

    def tell(self, run: str, message: dict[str, Any]) -> None:
        """Tell every process that has *run* open."""
        for client in self._clients:
            if run in client.runs:
                client.say(message)

    def close(self) -> None:
        """Let nobody in any more."""
        self._runtime.remove(SOCKET_NAME)
        self._listener.close()

    def _drop_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("iII", credentials)
        if uid != os.geteuid():
            connection.close()
            return
        connection.setblocking(False)
        client = Client(connection, pid)
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(client))

    def _hear(self, client: Client) -> None:
        try:
            received = client.connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        *lines, client.buffer = (client.buffer + received).split(b"\n")
        try:
            # An empty one is a nudge: it has ended the sleep, and says nothing.
            messages = [json.loads(line) for line in lines if line]
        except ValueError:
            received = b""  # A program that is not ours, or is not well.
        if not received:
            self._selector.unregister(client.connection)
            self._clients.discard(client)
            client.connection.close()
            self._left()
            return
        for message in messages:
            self._take(client, message)
