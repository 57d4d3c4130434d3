"""What stands between this machine and the server, hop by hop, and which hop fails.

::

    name -> connection -> TLS -> HTTP -> clock -> token                       one's own way
    proxy's name -> its connection -> tunnel -> TLS -> HTTP -> clock -> token      through a proxy
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from simvue.config import Config
from simvue.exception import ServerError
from simvue.proxies import address_for, authorisation_for
from simvue.remote import Answer, Remote
from simvue.trouble import why_proxy_refuses, why_silent

_PATIENCE_S: Final = 5.0
"""For each hop; a person waits at a prompt."""

_ANSWER_SIZE_MAX: Final = 65536
"""Bytes of a proxy's answer to CONNECT that are looked at; what http.client reads of a header."""

_CLOCK_S_MAX: Final = 30.0
"""A clock further off than this is wrong: chosen, below what a batch system tolerates."""

_DAY_S: Final = 86400.0


@dataclass(frozen=True)
class Hop:
    """One hop, the chapter it belongs to, whether it is good, and a sentence on it."""

    chapter: str
    name: str
    good: bool
    told: str


def trace(config: Config) -> Iterator[Hop]:
    """Yield the hops to the server of *config*, ending with the first that lets nothing through.

    Takes up to 5 s a hop.  Raises ConfigurationError if address or token are missing, or for a
    token that cannot stand in a header.
    """
    url, token = config.require_server()
    remote = Remote(
        url,
        token,
        token_source=config.token_source,
        ca_file=config.ca_file,
        proxy=config.proxy,
        timeout=_PATIENCE_S,
    )
    with remote:
        for hop in _wire(config, url):
            yield hop
            if not hop.good:
                return
        yield from _speech(remote, config.token_source)


def _wire(config: Config, url: str) -> Iterator[Hop]:
    """The names and connections, and the encryption."""
    proxy = address_for(config.proxy, url)
    chapter, whose = ("proxy", "proxy ") if proxy else ("server", "")
    try:
        host, port, is_secure = _place(url)
        place = _place(proxy) if proxy else (host, port, is_secure)
    except ValueError as error:
        yield Hop(chapter, f"{whose}address", False, f"{proxy or url} is no address: {error}")
        return
    try:
        found = socket.getaddrinfo(*place[:2], type=socket.SOCK_STREAM)
    except OSError as error:
        told = f"{place[0]} is not known to this machine: {error.strerror}"
        yield Hop(chapter, f"{whose}name", False, told)
        return
    addresses = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    yield Hop(chapter, f"{whose}name", True, f"{place[0]} is {addresses}")
    try:
        connection = socket.create_connection(place[:2], _PATIENCE_S)
    except OSError as error:
        reason = why_silent(error, _PATIENCE_S)
        told = f"{place[0]} port {place[1]} takes no connection: {reason}"
        yield Hop(chapter, f"{whose}connection", False, told)
        return
    with connection:
        told = f"{place[0]} takes a connection on port {place[1]}"
        yield Hop(chapter, f"{whose}connection", True, told)
        # A proxy that speaks TLS itself would need TLS in TLS, which only requests has.
        if not is_secure or (proxy and place[2]):
            return
        if proxy:
            yield _tunnel(connection, config, url, f"{host}:{port}", proxy)
        yield _encryption(connection, host, config.ca_file)


def _place(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if is_secure else 80), is_secure


def _tunnel(connection: socket.socket, config: Config, url: str, target: str, proxy: str) -> Hop:
    authorisation = authorisation_for(config.proxy, url)
    shown = f"Proxy-Authorization: {authorisation}\r\n" if authorisation else ""
    try:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{shown}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < _ANSWER_SIZE_MAX:
            piece = connection.recv(4096)
            if not piece:
                break
            answer += piece
    except OSError as error:
        return Hop("proxy", "tunnel", False, f"{proxy}: {why_silent(error, _PATIENCE_S)}")
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/") else b""
    if not status.isdigit():
        return Hop("proxy", "tunnel", False, f"{proxy} does not answer as a proxy does")
    if not 200 <= int(status) < 300:
        return Hop("proxy", "tunnel", False, why_proxy_refuses(int(status), proxy))
    return Hop("proxy", "tunnel", True, f"{proxy} connects to {target}")


def _encryption(connection: socket.socket, host: str, ca_file: Path | None) -> Hop:
    import ssl

    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    trusted = ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    if not os.path.exists(trusted):
        return Hop("TLS", "TLS", False, f"there is no file of certificates {trusted}")
    try:
        context = ssl.create_default_context()
        if os.path.isdir(trusted):
            context.load_verify_locations(capath=str(trusted))
        else:
            context.load_verify_locations(str(trusted))
        with context.wrap_socket(connection, server_hostname=host) as secure:
            certificate = secure.getpeercert() or {}
            version = secure.version()
    except OSError as error:  # every exception of ssl is one
        return Hop("TLS", "TLS", False, f"{host}: {why_silent(error, _PATIENCE_S)}")
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / _DAY_S
    told = f"the certificate of {host} is trusted ({version}), for {days:.0f} days more"
    return Hop("TLS", "TLS", True, told)


def _speech(remote: Remote, token_source: str | None) -> Iterator[Hop]:
    """What the server says to a question of nothing, and to the token."""
    try:
        answer = remote.send("GET", "/version")
        if not answer.ok and answer.status not in (401, 403):
            told = f"{remote.url} answers {answer.status} {answer.detail}".strip()
            yield Hop("server", "HTTP", False, told)
            return
        version = answer.content.get("version") if isinstance(answer.content, dict) else None
        spoken = f", version {version} of the interface" if version else ""
        yield Hop("server", "HTTP", True, f"{remote.url} answers{spoken}")
        if answer.date is not None:
            yield _clock(answer.date)
        yield _identity(remote.send("GET", "/whoami"), token_source)
    except ServerError as error:
        yield Hop("server", "HTTP", False, str(error))


def _identity(answer: Answer, token_source: str | None) -> Hop:
    if answer.ok:
        who = answer.content if isinstance(answer.content, dict) else {}
        user = f", as {who['user']}" if who.get("user") else ""
        tenant = f" of tenant {who['tenant']}" if who.get("tenant") else ""
        return Hop("token", "token", True, f"the token is accepted{user}{tenant}")
    if answer.status in (401, 403):
        told = (
            f"the token from {token_source or 'the caller'} is refused: "
            f"{answer.status} {answer.detail}"
        )
        return Hop("token", "token", False, told.strip())
    return Hop("token", "token", False, f"it answers {answer.status} {answer.detail}".strip())


def _clock(date: float) -> Hop:
    behind = date - time.time()
    if abs(behind) <= _CLOCK_S_MAX:
        return Hop("clock", "clock", True, "this machine's clock agrees with the server's")
    told = (
        f"this machine's clock is {abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} "
        "the server's: times of runs will be off; set it, with NTP say"
    )
    return Hop("clock", "clock", False, told)
