"""Why a server did not answer, in words for somebody who has to mend it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ssl import SSLCertVerificationError, SSLError

import requests
from urllib3.exceptions import ProxyError
from urllib3.exceptions import TimeoutError as SilenceError


def why_silent(trouble: OSError, seconds: float) -> str:
    """Say why there was no answer; requests buries it under three exceptions of its own.

    *seconds* is the patience there was.  Never quotes the request, which holds the token.
    """
    causes = list(_causes(trouble))
    proxy = "through the proxy that the environment names: " if _any(causes, ProxyError) else ""
    for cause in causes:
        if isinstance(cause, SSLCertVerificationError):
            return (
                f"{proxy}its certificate is not trusted ({cause.verify_message}); "
                "server_ca_cert in [server.certificates] names a file of certificates to trust"
            )
        if isinstance(cause, SSLError):
            return f"{proxy}no encrypted connection ({cause.reason or 'TLS failed'})"
        if isinstance(cause, socket.gaierror):
            return f"{proxy}its name is not known ({cause.strerror})"
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{proxy}{cause.strerror[0].lower()}{cause.strerror[1:]}"
    if _any(causes, requests.Timeout, SilenceError, TimeoutError):
        return f"{proxy}nothing came within {seconds:g} s"
    # What is left has no system error behind it; a text of theirs can quote the request.
    if _any(causes, requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return f"{proxy}the connection was cut before the whole answer had come"
    if _any(causes, requests.exceptions.InvalidURL):
        return "the address is malformed"
    return proxy + str(trouble) if type(trouble) is OSError else proxy + type(trouble).__name__


def _causes(trouble: BaseException) -> Iterator[BaseException]:
    """Walk everything that an exception carries, outermost first."""
    waiting, seen = [trouble], set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        carried = [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
        waiting.extend(inner for inner in carried if isinstance(inner, BaseException))


def _any(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)
