"""Auth: who may come in, checked in front of everything else.

::

    request ── Host known? ── token known? ── may it write? ── if by cookie: Origin ours? ── the
                  │ 421           │ 401           │ 403                  │ 403       application

A token is a JWT because official clients decode one (they read ``exp`` and nothing
else).  Its signature vouches for nothing: the store holds the SHA-256 of every token
that was given out, and the key that signed it is forgotten at once, so there is no
secret to keep.  Tokens are never logged.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from litestar.enums import ScopeType

from simvue.exception import StoreError

from . import links
from .forms import Refused, send_refusal
from .store import Store, Token, TokenScope

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

# The wire knows no token without an end, so the first one gets a distant one.
LIFETIME_S: Final = 50 * 365 * 86_400
# How long a token that was found is trusted without asking the store again: one that
# another server of the same store takes away stops working within a minute.
TRUSTED_S: Final = 60.0
# Found tokens kept in memory; only valid ones are, so strangers cannot fill it.
TRUSTED_MAX: Final = 4096
# Tokens looked up at a time: each is a row by its key, and then kept (chosen).
LOOKUPS: Final = 2

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Where a stranger may knock: the log-in page answers, and what it is drawn with, and who is
# logged out already may be so once more, and a frame without cookies may draw (figures.py);
# nothing else.
PAGES: Final = (
    "/",
    "/login",
    "/logout",
    "/dashboard",
    "/ui/style.css",
    "/ui/icon.svg",
    "/figure/plotly.js",
    "/figure/draw.js",
)

# ---- Tokens ---------------------------------------------------------------------------


def new_token(
    user: str,
    tenant: str,
    now: float,
    scope: TokenScope = "admin",
    lifetime: int = LIFETIME_S,
    name: str = "",
) -> tuple[str, Token]:
    """Make a token for the next *lifetime* seconds, and what the store remembers about it."""
    token = Token(user, tenant, scope, float(int(now) + lifetime), name)
    header = {"alg": "HS256", "typ": "JWT"}
    claims = {"sub": user, "iat": int(now), "exp": int(token.expires), "jti": token.id}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(secrets.token_bytes(32), signed, "sha256")
    text = b".".join((signed, _base64url(signature))).decode()
    return text, token


def digest(token: str) -> str:
    """Return what the store knows *token* by."""
    return hashlib.sha256(token.encode()).hexdigest()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class Tokens:
    """The tokens known to the store, those presented lately kept at hand."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._trusted: dict[str, tuple[Token, float]] = {}
        # Its own: readers that wait for a storage keep nobody out.
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="token")
        # How often everything was forgotten: an answer from before is not kept.
        self._forgotten = 0
        self._lock = threading.Lock()

    async def find(self, text: str) -> Token | None:
        """Return who *text* speaks for, or None if it is unknown or has expired."""
        now = self._clock()
        key = digest(text)
        token, until = self._trusted.get(key, (None, 0.0))
        if token is None or now > until:
            forgotten = self._forgotten
            loop = asyncio.get_running_loop()
            token = await loop.run_in_executor(self._threads, self._store.find_token, key)
            if token is None:
                self._trusted.pop(key, None)
                return None
            if len(self._trusted) >= TRUSTED_MAX:
                self._trusted.clear()
            with self._lock:
                if forgotten == self._forgotten:
                    self._trusted[key] = (token, now + TRUSTED_S)
        return token if token.expires > now else None

    def close(self) -> None:
        """Wait for the look-ups in hand."""
        self._threads.shutdown()

    def forget(self) -> None:
        """Ask the store again about every token: some of them may do less now, or nothing.

        May be called from any thread.
        """
        with self._lock:
            self._forgotten += 1
            self._trusted.clear()


# ---- Hosts ------------------------------------------------------------------------------


class Hosts:
    """The names this server is known by; any other is a page that plays DNS tricks.

    A server bound to every address also answers to this machine's name and to any
    address in numbers, which no DNS record can forge.
    """

    def __init__(self, bound: str, names: Iterable[str] = ()) -> None:
        self._open = bound in ("0.0.0.0", "::")
        known = {"localhost", "127.0.0.1", "::1", bound.lower(), *map(str.lower, names)}
        if self._open:
            host = socket.gethostname().lower()
            known |= {host, host.partition(".")[0]}
        self._known = known

    def know(self, header: str) -> bool:
        """Tell whether the ``Host`` header names this server; its port may be a tunnel's."""
        try:
            host = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if host in self._known:
            return True
        if not self._open:
            return False
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


# ---- The door ------------------------------------------------------------------------------


class Door:
    """ASGI application in front of *app* that lets in who may come in.

    ``scope["user"]`` is then the Token, or None for a stranger at one of PAGES, and for
    whoever follows a link to a file.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, hosts: Hosts, cookie: str) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = hosts
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; hand on every other."""
        if scope["type"] == ScopeType.HTTP:
            try:
                scope["user"] = await self._admit(scope)
            except Refused as refused:
                await send_refusal(send, refused)
                return
            except StoreError as error:
                # Nobody is refused for good because the store cannot say who they are.
                await send_refusal(send, Refused(503, str(error), {"Retry-After": "10"}))
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Token | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._hosts.know(host):
            raise Refused(
                421,
                f"this server is not known as {host[:80]!r}; start it with --name to make it so",
            )
        path, method = scope["path"], scope["method"]  # type: ignore[typeddict-item]
        if path.startswith(links.PATH):
            # A link speaks for itself (routes/files.py), whoever brings it.
            return None
        bearer = _bearer(headers.get(b"authorization", b"").decode("latin-1"))
        text = bearer or _cookie(headers.get(b"cookie", b"").decode("latin-1"), self._cookie)
        token = await self._tokens.find(text) if text else None
        if token is None and not (path in PAGES or path.startswith("/dashboard/")):
            raise Refused(
                401,
                "the token is not known to this server, or has expired"
                if text
                else "a token is needed",
                {"WWW-Authenticate": "Bearer"},
            )
        if token and token.scope == "read" and method not in SAFE and path not in PAGES:
            raise Refused(403, "this token may only read")
        # A browser adds cookies to whatever page asks; only it can say which page asked.
        if not bearer and method not in SAFE:
            origin = headers.get(b"origin", b"").decode("latin-1")
            if urlsplit(origin).netloc.lower() != host.lower():
                raise Refused(403, "the request was sent by a page of another server")
        return token


def _bearer(header: str) -> str:
    scheme, _, text = header.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _cookie(header: str, name: str) -> str:
    # By hand: http.cookies gives up at the first cookie that another program on this host
    # wrote carelessly, and all ports of a host share their cookies.
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""
