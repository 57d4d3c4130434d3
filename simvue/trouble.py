"""Why a server did not answer, in words for somebody who has to mend it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ssl import SSLCertVerificationError, SSLError
from typing import Final

import requests
from urllib3.exceptions import ProxyError
from urllib3.exceptions import TimeoutError as SilenceError

_EXPIRED: Final = frozenset({9, 10})
_FOR_ANOTHER: Final = frozenset({62, 64})
"""What OpenSSL calls a certificate outside its days, and one for another host or address."""

_REFUSAL: Final = re.compile(r"^Tunnel connection failed: (\d{3})")
"""How http.client tells that a proxy did not connect; it has no exception of its own for it."""


def why_silent(trouble: OSError, seconds: float, proxy: str | None = None) -> str:
    """Say why there was no answer; requests buries it under three exceptions of its own.

    *seconds* is the patience there was, *proxy* the address of the proxy in between.  Never quotes
    the request, which holds the token, nor the proxy's credentials.
    """
    causes = list(_causes(trouble))
    refusal = next(filter(None, (_REFUSAL.search(str(cause)) for cause in causes)), None)
    if refusal:
        return why_proxy_refuses(int(refusal[1]), proxy)
    reason = _name(causes, seconds) or (
        str(trouble) if type(trouble) is OSError else type(trouble).__name__
    )
    if _any(causes, ProxyError):
        return (
            f"the proxy {proxy or 'that the environment names'} is not reached: {reason}; "
            "SIMVUE_PROXY, or proxy in [server], names another, or none"
        )
    return reason


def _name(causes: list[BaseException], seconds: float) -> str | None:
    for cause in causes:
        if isinstance(cause, SSLCertVerificationError):
            return _why_untrusted(cause)
        if isinstance(cause, SSLError):
            return f"no encrypted connection ({cause.reason or 'TLS failed'})"
        if isinstance(cause, socket.gaierror):
            return f"its name is not known ({cause.strerror})"
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{cause.strerror[0].lower()}{cause.strerror[1:]}"
    if _any(causes, requests.Timeout, SilenceError, TimeoutError):
        return f"nothing came within {seconds:g} s"
    # What is left has no system error behind it; a text of theirs can quote the request.
    if _any(causes, requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut before the whole answer had come"
    if _any(causes, requests.exceptions.InvalidURL):
        return "the address is malformed"
    return None


def why_proxy_refuses(status: int, proxy: str | None) -> str:
    """Say why the *proxy* at that address answered with *status* instead of letting through."""
    named = f"the proxy {proxy or 'that the environment names'}"
    if status == 407:
        return (
            f"{named} wants a user and password, or others (407); "
            "set SIMVUE_PROXY_AUTH, or proxy_auth in [server], to user:password"
        )
    return f"{named} does not let through to it ({status}); ask who runs the proxy"


def _why_untrusted(error: SSLCertVerificationError) -> str:
    if error.verify_code in _EXPIRED:
        return (
            f"its certificate is not valid today ({error.verify_message}); "
            "whoever runs the server renews it, unless this machine's clock is wrong"
        )
    if error.verify_code in _FOR_ANOTHER:
        return (
            f"its certificate is for another host ({error.verify_message.rstrip('.')}); "
            "use the address that the certificate names"
        )
    return (
        f"its certificate is not trusted ({error.verify_message}); "
        "server_ca_cert in [server.certificates] names a file of certificates to trust"
    )


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
