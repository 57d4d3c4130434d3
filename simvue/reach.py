"""What stands between this machine and the server, hop by hop, and which hop fails.

::

    name -> connection -> TLS -> HTTP -> token          one's own way
    proxy's name -> proxy's connection -> HTTP -> token     where the environment names a proxy
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from simvue.exception import ServerError
from simvue.remote import Remote
from simvue.trouble import why_silent

_PATIENCE_S: Final = 5.0
"""For each hop; a person waits at a prompt."""


@dataclass(frozen=True)
class Hop:
    """One hop, whether it is good, and a sentence on it."""

    name: str
    good: bool
    told: str


def trace(url: str, token: str, token_source: str | None, ca_file: Path | None) -> Iterator[Hop]:
    """Yield the hops to the server at *url*, ending with the first that fails.

    Takes up to 5 s a hop.  Raises ConfigurationError for a token that cannot stand in a header.
    """
    remote = Remote(url, token, token_source=token_source, ca_file=ca_file, timeout=_PATIENCE_S)
    proxy = _proxy_of(url)
    with remote:
        for hop in _wire(proxy or url, "proxy " if proxy else "", ca_file, inner=proxy is None):
            yield hop
            if not hop.good:
                return
        for hop in _speech(remote, token_source):
            yield hop
            if not hop.good:
                return


def _proxy_of(url: str) -> str | None:
    from requests.utils import get_environ_proxies, select_proxy

    if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost"):
        return None  # As `Remote` does: a proxy cannot reach this machine.
    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy


def _wire(url: str, whose: str, ca_file: Path | None, inner: bool) -> Iterator[Hop]:
    """The name, the connection and, where it is the server's own (*inner*), the encryption."""
    try:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
    except ValueError as error:
        yield Hop(f"{whose}address", False, f"{url} is no address: {error}")
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield Hop(f"{whose}name", False, f"{host} is not known to this machine: {error.strerror}")
        return
    addresses = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    yield Hop(f"{whose}name", True, f"{host} is {addresses}")
    try:
        connection = socket.create_connection((host, port), _PATIENCE_S)
    except OSError as error:
        reason = why_silent(error, _PATIENCE_S)
        yield Hop(f"{whose}connection", False, f"{host} port {port} takes no connection: {reason}")
        return
    with connection:
        yield Hop(f"{whose}connection", True, f"{host} takes a connection on port {port}")
        if secure and inner:
            yield _encryption(connection, host, ca_file)


def _encryption(connection: socket.socket, host: str, ca_file: Path | None) -> Hop:
    import os
    import ssl

    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    trusted = ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    try:
        context = ssl.create_default_context()
        if os.path.isdir(trusted):
            context.load_verify_locations(capath=str(trusted))
        else:
            context.load_verify_locations(str(trusted))
        with context.wrap_socket(connection, server_hostname=host) as secure:
            return Hop("TLS", True, f"the certificate of {host} is trusted ({secure.version()})")
    except OSError as error:  # every exception of ssl is one
        return Hop("TLS", False, f"{host}: {why_silent(error, _PATIENCE_S)}")


def _speech(remote: Remote, token_source: str | None) -> Iterator[Hop]:
    """What the server says to a question of nothing, and to the token."""
    try:
        answer = remote.send("GET", "/version")
        if not answer.ok and answer.status not in (401, 403):
            told = f"{remote.url} answers {answer.status} {answer.detail}".strip()
            yield Hop("HTTP", False, told)
            return
        version = answer.content.get("version") if isinstance(answer.content, dict) else None
        spoken = f", version {version} of the interface" if version else ""
        yield Hop("HTTP", True, f"{remote.url} answers{spoken}")
        answer = remote.send("GET", "/whoami")
    except ServerError as error:
        yield Hop("HTTP", False, str(error))
        return
    if answer.ok:
        user = answer.content.get("user") if isinstance(answer.content, dict) else None
        yield Hop("token", True, f"the token is accepted{f', as {user}' if user else ''}")
    elif answer.status in (401, 403):
        yield Hop(
            "token", False, f"the token from {token_source or 'the caller'} is refused: "
            f"{answer.status} {answer.detail}".strip()
        )  # fmt: skip
    else:
        yield Hop("token", False, f"it answers {answer.status} {answer.detail}".strip())
