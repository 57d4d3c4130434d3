"""The server as a client sees it: one kept-alive HTTP session, and its answers in words.

::

    send    one attempt; any status is an answer, only silence raises     the shipper, which
                                                                          has its own patience
    get · put · post · delete   a few attempts, then the matching error   Client

Nothing on the road of a metric imports this module: requests costs a simulation 90 ms and
14 MiB (measured).
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from json import dumps, loads
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgpack
import orjson
import requests
from requests.adapters import HTTPAdapter

from .exception import ConfigurationError, ObjectNotFoundError, ServerError, UnauthorisedError
from .trouble import why_silent
from .version import __version__
from .wire import BODY_SIZE_MAX, MSGPACK, is_id

USER_AGENT: Final = f"simvue-python/{__version__}"

TIMEOUT_S: Final = 10.0
"""Silence longer than this is an outage; what official clients wait for, too."""

ATTEMPTS: Final = 5
WAIT_S: Final = 0.5
WAIT_S_MAX: Final = 8.0
"""Waits of 0.5, 1, 2 and 4 seconds at most, each cut at random: enough for a server that
restarts, and less than the patience of somebody at a prompt."""

_PAUSE_S_MAX: Final = 30.0
"""The longest Retry-After that a person at a prompt is made to wait for."""

_REFUSED: Final = frozenset({408, 425, 429, 503})
"""Answers of a server that did not do the work, so that asking again repeats nothing."""

_TEXT_MAX: Final = 300
"""Characters of a foreign error page that a message repeats; chosen: four lines."""


@dataclass(frozen=True)
class Answer:
    """What the server said to one request.

    ``content`` is decoded JSON or msgpack, None where there is neither; ``detail`` the server's
    words for an error, empty for a success; ``retry_after`` seconds, if it asked for patience.
    """

    status: int
    content: Any
    detail: str
    retry_after: float | None

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300


def route(*segments: str) -> str:
    """Join *segments* to a path, each percent-encoded whole: a ``/`` in one is part of its name."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


class Remote:
    """One server, one token, one session; may be used by several threads.

    *url* is the server's root, without ``/api``.  *token_source* says in words where the token
    came from, for the message of a refusal.  Opens no connection until the first request.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        token_source: str | None = None,
        ca_file: Path | str | None = None,
        timeout: float = TIMEOUT_S,
        wait: float = WAIT_S,
    ) -> None:
        # http.client would refuse such a header too, and quote it.
        if not token or not all("!" <= character <= "~" for character in token):
            raise ConfigurationError(f"the token from {token_source or 'the caller'} is malformed")
        self.url = url
        self.body_size_max = BODY_SIZE_MAX
        """Bytes that the server, or a proxy before it, lets through; lowered by who finds out."""
        self._token = token
        self._token_source = token_source
        self._verify = str(ca_file) if ca_file else True
        self._timeout = timeout
        self._wait = wait
        self._session = self._open()
        self._process = os.getpid()
        self._about: dict[str, Any] | None = None

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later request opens them anew."""
        self._session.close()

    # ---- One attempt ------------------------------------------------------------------

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Make one request and return what the server said, whatever the status.

        *body* goes out as it is, as msgpack unless *content_type* says otherwise; *json* is
        encoded, non-finite numbers as the bare tokens of the wire.  *timeout* is in seconds, for
        the connection and for each silence after it, not for the whole.  A redirection is an
        answer, not followed: a followed POST turns into a GET and loses its body.

        Raises ServerError with ``status`` None if there was no answer, or none that a Simvue
        server would give; whether the request was carried out is then unknown.
        """
        seconds = self._timeout if timeout is None else timeout
        sent = dict(headers or {})
        if json is not None:
            body, content_type = dumps(json, separators=(",", ":")).encode(), "application/json"
        if body is not None:
            sent["Content-Type"] = content_type or MSGPACK
        try:
            response = self._own_session().request(
                method,
                f"{self.url}/api{path}",
                params=params,
                data=body,
                headers=sent,
                timeout=seconds,
                allow_redirects=False,
                # With every request: a session's own setting gives way to REQUESTS_CA_BUNDLE.
                verify=self._verify,
            )
        except OSError as trouble:  # every exception of requests is one
            reason = why_silent(trouble, seconds)
            raise ServerError(f"{self.url} does not answer: {reason}") from None
        return self._read(response)

    def _read(self, response: requests.Response) -> Answer:
        status, retry_after = response.status_code, _seconds(response.headers.get("Retry-After"))
        content, decoded = _decode(response)
        if 200 <= status < 300:
            # A captive portal says 200 as well; taken for an answer it would cost rows.
            if not decoded and status != 204:
                raise ServerError(
                    f"{self.url} answers, but not as a Simvue server does: is the address right, "
                    "or a log-in page or proxy in between?"
                )
            return Answer(status, content, "", retry_after)
        return Answer(status, content, _detail(response, content), retry_after)

    # ---- A few attempts, for somebody who waits ------------------------------------------

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the content at *path*; raises as `delete` does."""
        return self._ask("GET", path, params=params)

    def put(self, path: str, json: Any = None) -> Any:
        """Update what is at *path*; raises as `delete` does."""
        return self._ask("PUT", path, json=json)

    def post(self, path: str, json: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Create an object; raises as `delete` does.

        Asked again only if the server refused to work on it: after a silence the object may
        exist, and a second would be made.
        """
        return self._ask("POST", path, json=json, params=params)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Delete what is at *path*.

        Takes up to `ATTEMPTS` attempts.  Raises UnauthorisedError for a refused token,
        ObjectNotFoundError where ``/<collection>/<id>`` does not exist, ServerError for any other
        trouble.
        """
        return self._ask("DELETE", path, params=params)

    def _ask(
        self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        attempt = 0
        while True:
            attempt += 1
            pause: float | None = None
            try:
                answer = self.send(method, path, json=json, params=params)
            except ServerError:
                if attempt == ATTEMPTS or method == "POST":
                    raise
            else:
                if answer.ok:
                    return answer.content
                if method == "DELETE" and attempt > 1 and answer.status == 404:
                    # An earlier attempt did it, and only its answer was lost.
                    return {}
                repeatable = answer.status in _REFUSED or (
                    answer.status >= 500 and method != "POST"
                )
                pause = answer.retry_after
                if attempt == ATTEMPTS or not repeatable or (pause or 0) > _PAUSE_S_MAX:
                    raise self._error(method, path, answer)
            # Full jitter: a hundred scripts that met the same restart do not return as one.
            longest = min(WAIT_S_MAX, self._wait * 2 ** (attempt - 1))
            time.sleep(random.uniform(0, longest) if pause is None else pause)

    def _error(self, method: str, path: str, answer: Answer) -> Exception:
        detail = f": {answer.detail}" if answer.detail else ""
        if answer.status in (401, 403):
            verb = "refuses" if answer.status == 401 else "does not permit this to"
            source = f" from {self._token_source}" if self._token_source else ""
            return UnauthorisedError(
                f"{self.url} {verb} the token{source} ({answer.status}){detail}"
            )
        collection, _, rest = path.strip("/").partition("/")
        name = rest.partition("/")[0]
        if answer.status in (404, 410) and is_id(name):
            kind = collection.removesuffix("s").capitalize()
            extra = "it was deleted" if answer.status == 410 else None
            return ObjectNotFoundError(kind, name, extra)
        return ServerError(
            f"{self.url} answered {method} {path} with {answer.status}{detail}", answer.status
        )

    # ---- What the server is ------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The server's version; asked for once.  Raises as `get` does."""
        return str(self._describe().get("version", ""))

    @property
    def features(self) -> frozenset[str]:
        """Additions to the v1 wire that the server has; empty for an official server."""
        features = self._describe().get("features", [])
        return frozenset(map(str, features)) if isinstance(features, list) else frozenset()

    def probe(self) -> Answer | None:
        """Learn what the server is in one attempt; None if that is known, else its answer.

        For a caller with a patience of its own.  Raises as `send` does.
        """
        if self._about is not None:
            return None
        answer = self.send("GET", "/version")
        if answer.ok and isinstance(answer.content, dict):
            self._about = answer.content
        return answer

    def _describe(self) -> dict[str, Any]:
        if self._about is None:
            about = self.get("/version")
            if not isinstance(about, dict):
                raise ServerError(f"{self.url} does not say its version: not a Simvue server?")
            self._about = about
        return self._about

    # ---- The session ----------------------------------------------------------------------------

    def _own_session(self) -> requests.Session:
        # A forked child must not speak on its parent's connections.
        if self._process != os.getpid():
            self._session, self._process = self._open(), os.getpid()
        return self._session

    def _open(self) -> requests.Session:
        session = requests.Session()
        session.headers["User-Agent"] = USER_AGENT
        # As auth, not as a header: otherwise an entry of ~/.netrc for this host replaces it.
        session.auth = self._authorise
        # What two threads would share is connections, whose pool has a lock, and cookies, of
        # which we want none.
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A cluster's HTTP_PROXY is for the world outside, and cannot reach this machine.
        session.trust_env = urlsplit(self.url).hostname not in ("127.0.0.1", "::1", "localhost")
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=8)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


# ---- Answers -----------------------------------------------------------------------------------


def _decode(response: requests.Response) -> tuple[Any, bool]:
    """Return (content, whether there was content that could be decoded)."""
    raw = response.content
    try:
        if response.headers.get("Content-Type", "").startswith(MSGPACK):
            return msgpack.unpackb(raw, strict_map_key=False), True
        try:
            return orjson.loads(raw), True
        except orjson.JSONDecodeError:
            # The wire has bare NaN and Infinity, which only the slower one reads.
            return loads(raw), True
    except (ValueError, RecursionError, msgpack.UnpackException):
        return None, False


def _detail(response: requests.Response, content: Any) -> str:
    if 300 <= response.status_code < 400:
        target = response.headers.get("Location", "elsewhere")
        return f"it redirects to {target[:_TEXT_MAX]}; set that as the server's address"
    detail = content.get("detail") if isinstance(content, dict) else None
    if isinstance(detail, list):
        return "; ".join(map(_complaint, detail))[:_TEXT_MAX]
    if detail is not None:
        return str(detail)
    is_text = response.headers.get("Content-Type", "").startswith("text/plain")
    return (response.text[:_TEXT_MAX] if is_text else response.reason) or ""


def _complaint(entry: Any) -> str:
    """Write one entry of a 422 as ``metadata.name: must be a text``."""
    if not isinstance(entry, dict):
        return str(entry)
    loc = entry.get("loc")
    parts = loc if isinstance(loc, list) else [loc or "body"]
    place = ".".join(str(part) for part in parts if part != "body")
    return f"{place}: {entry.get('msg')}" if place else str(entry.get("msg"))


def _seconds(retry_after: str | None) -> float | None:
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
