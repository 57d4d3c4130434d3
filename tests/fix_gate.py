"""What a site puts before a server: a front that speaks TLS, and a proxy that asks who you are."""

from __future__ import annotations

import base64
import datetime
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from fix_node import Node
from fix_server import Server

HOST = "simvue.test"
"""The server's name in the tests; only the proxy knows where that is."""

PASSWORD = "open%20sesame@x"
"""With what has to be escaped in an address, and what looks as if it had been."""


def pipe(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes from *one* to *other* until either ends."""
    with suppress(OSError, ValueError):
        while piece := one.recv(1 << 16):
            other.sendall(piece)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def join(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either ends."""
    back = threading.Thread(target=pipe, args=(other, one), daemon=True)
    back.start()
    pipe(one, other)
    back.join()


class Listener:
    """A TCP server on a free port of this machine that treats each connection in a thread."""

    def __init__(self) -> None:
        listener = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    listener.treat(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def treat(self, client: socket.socket) -> None:
        """Do what this listener is for."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Front(Listener):
    """The server behind TLS, with a certificate for *name* of *authority*."""

    def __init__(
        self,
        server: Server,
        authority: trustme.CA,
        name: str = HOST,
        until: datetime.datetime | None = None,
    ) -> None:
        self._target = server.port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, not_after=until).configure_cert(self._context)
        super().__init__()

    def treat(self, client: socket.socket) -> None:
        """Take the encryption off, and hand on what is inside."""
        with (
            self._context.wrap_socket(client, server_side=True) as plain,
            socket.create_connection(("127.0.0.1", self._target)) as server,
        ):
            join(plain, server)


class TollProxy(Listener):
    """A forward proxy, and one that connects, for whoever shows *credentials*.

    ``https://HOST`` leads to ``secure``, ``http://HOST`` to ``plain``: ports of this machine.
    """

    def __init__(self, plain: int, secure: int, credentials: str | None) -> None:
        self.plain, self.secure = plain, secure
        self.status = 200
        """What it answers instead of connecting, if it is an error."""
        self.passed: list[str] = []
        """The first lines of the requests that it let through."""
        self._wanted = None
        if credentials:
            self._wanted = b"Basic " + base64.b64encode(credentials.encode())
        super().__init__()
        self.address = f"http://127.0.0.1:{self.port}"

    def treat(self, client: socket.socket) -> None:
        """Let one connection through, or refuse it."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(1 << 16)
            if not piece:
                return
            head += piece
        lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
        shown = [line.split(b": ", 1)[1] for line in lines if line.lower().startswith(b"proxy-a")]
        if self._wanted and shown != [self._wanted]:
            client.sendall(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if self.status != 200:
            client.sendall(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode())
            return
        first = lines[0].decode()
        self.passed.append(first)
        connects = first.startswith("CONNECT ")
        with socket.create_connection(("127.0.0.1", self.secure if connects else self.plain)) as up:
            if connects:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                # One request a connection: a second one's head would have to be read, too.
                ours = (b"proxy-a", b"connection")
                kept = [line for line in lines[1:] if not line.lower().startswith(ours)]
                path = first.replace(f"http://{HOST}", "", 1).encode()
                new = b"\r\n".join([path, *kept, b"Connection: close"])
                up.sendall(new + b"\r\n\r\n" + head.partition(b"\r\n\r\n")[2])
            join(client, up)


class Site:
    """A server that only an authority of its own vouches for, behind a proxy with a password."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.server = server
        self.authority = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.front = Front(server, self.authority)
        self.credentials = f"me:{PASSWORD}"
        self.proxy = TollProxy(server.port, self.front.port, self.credentials)
        self.env = {
            "SIMVUE_URL": f"https://{HOST}",
            "SIMVUE_SERVER_CA_CERTIFICATE": str(self.ca_file),
            "SIMVUE_PROXY": self.proxy.address,
            "SIMVUE_PROXY_AUTH": self.credentials,
        }

    def put_before(self, front: Front) -> None:
        """Have the proxy lead to another front from here on."""
        self.front.close()
        self.front = front
        self.proxy.secure = front.port

    def close(self) -> None:
        """Stop listening."""
        self.front.close()
        self.proxy.close()


@pytest.fixture(scope="session")
def named_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows by which name it is reached; shared, as ``server`` is."""
    running = Server(tmp_path_factory.mktemp("named") / "data", "--name", HOST)
    yield running
    assert running.stop() == 0, running.log_text()


@pytest.fixture
def site(named_server: Server, tmp_path: Path) -> Iterator[Site]:
    """A server, as a site shows it to the outside."""
    made = Site(tmp_path, named_server)
    yield made
    made.close()


@pytest.fixture
def outside(site: Site, tmp_path: Path) -> Iterator[Node]:
    """A node that reaches the server only through the site's proxy, by TLS."""
    node = Node(tmp_path, site.server)
    for variable in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        for name in (variable, variable.upper()):
            node.env.pop(name, None)
    node.env.update(site.env)
    yield node
    node.close()
