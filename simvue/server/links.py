"""Links: the URLs of an artifact's bytes, which work without a token and not for long.

Clients send and fetch bytes with bare requests, as they would at an S3 store, so the URL
itself says what it is good for, and the server's secret vouches for it::

    /api/files/<artifact>?for=put&until=1790000000&signature=<HMAC-SHA-256>
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from litestar import Request
    from litestar.datastructures import MultiDict

PATH: Final = "/api/files/"
# Only the beginning of a transfer must lie within it; a client asks for a link just before
# it uses it, but may wait for its turn behind other files.
LIFETIME_S: Final = 3600

Purpose = Literal["get", "put"]


class Links:
    """Makes links and knows them again; *secret* is the server's."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def make(self, base: str, artifact: str, purpose: Purpose) -> str:
        """Return the URL, below *base*, for getting or putting the bytes of *artifact*."""
        until = int(self._clock()) + LIFETIME_S
        signature = self._sign(artifact, purpose, until)
        return f"{base}{PATH}{artifact}?for={purpose}&until={until}&signature={signature}"

    def allow(self, artifact: str, purpose: Purpose, parameters: MultiDict[Any]) -> bool:
        """Tell whether the *parameters* of a URL are those of a link that still works."""
        until, signature = parameters.get("until", ""), parameters.get("signature", "")
        if not (until.isascii() and until.isdigit() and len(until) < 20):
            return False
        expected = self._sign(artifact, purpose, int(until))
        sound = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        return sound and self._clock() <= int(until)

    def _sign(self, artifact: str, purpose: Purpose, until: int) -> str:
        text = f"{artifact}\n{purpose}\n{until}"
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()


def base_url(request: Request[Any, Any, Any]) -> str:
    """Return how whoever asks reaches this server: the host that they named, checked by Door.

    A proxy that ends TLS says so in ``X-Forwarded-Proto``; who forges it misleads only
    themselves.
    """
    scheme = request.headers.get("x-forwarded-proto", "").strip().lower()
    if scheme not in ("http", "https"):
        scheme = request.scope["scheme"]
    return f"{scheme}://{request.headers['host']}"
