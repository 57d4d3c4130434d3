"""The server as a client sees it: one kept-alive HTTP session, and its answers in words.

::

    send    one attempt; any status is an answer, only silence raises     the shipper, which
    listen  one stream of events, until it ends                           has its own patience
    get · put · post · delete   a few attempts, then the matching error   Client

Nothing on the road of a metric imports this module: requests costs a simulation 90 ms and
14 MiB (measured).
"""

from __future__ import annotations

import io
import math
import os
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from json import dumps, loads
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urljoin, urlsplit

import msgpack
import orjson
import requests
from requests.adapters import HTTPAdapter

from .config import Proxy
from .exception import ConfigurationError, ObjectNotFoundError, ServerError, UnauthorisedError
from .proxies import address_for, is_loopback, proxies_for
from .trouble import why_proxy_refuses, why_silent
from .version import __version__
from .wire import BODY_SIZE_MAX, EVENT_STREAM, KEEP_ALIVE_S, MSGPACK, ROWS_HEADER, is_id

USER_AGENT: Final = f"simvue-python/{__version__}"

TIMEOUT_S: Final = 10.0
"""Silence longer than this is an outage; what official clients wait for, too."""

ATTEMPTS: Final = 5
WAIT_S: Final = 0.5
WAIT_S_MAX: Final = 8.0
"""Waits of 0.5, 1, 2 and 4 seconds at most, each cut at random: enough for a server that
restarts, and less than the patience of somebody at a prompt."""

_STORED_S: Final = 16 << 20
"""Bytes a second that a server is given to check and keep a file before it answers; chosen: less
than a disk of 20 years ago."""

_PAUSE_S_MAX: Final = 30.0
"""The longest Retry-After that a person at a prompt is made to wait for."""

_REFUSED: Final = frozenset({408, 425, 429, 503})
"""Answers of a server that did not do the work, so that asking again repeats nothing."""

_TEXT_MAX: Final = 300
"""Characters of a foreign error page that a message repeats; chosen: four lines."""


_DOWNLOAD_SILENCE_S: Final = 30.0
"""Silence within a file longer than this is an end; chosen: a disk that wakes up takes 10."""

_DOWNLOAD_SIZE: Final = 1 << 20
"""Bytes of a file in memory at once (chosen)."""


@dataclass(frozen=True)
class Answer:
    """What the server said to one request.

    ``content`` is decoded JSON or msgpack, None where there is neither; ``detail`` the server's
    words for an error, empty for a success; ``retry_after`` seconds, if it asked for patience;
    ``date`` when it answered by its own clock, in seconds since the epoch.
    """

    status: int
    content: Any
    detail: str
    retry_after: float | None
    date: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300

    @property
    def exists(self) -> bool:
        """Whether the server has what was to be made, and says under which id."""
        return self.status == 409 and isinstance(self.content, dict) and "id" in self.content


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
        proxy: Proxy | None = None,
        timeout: float = TIMEOUT_S,
        wait: float = WAIT_S,
    ) -> None:
        # http.client would refuse such a header too, and quote it.
        if not token or not all("!" <= character <= "~" for character in token):
            raise ConfigurationError(f"the token from {token_source or 'the caller'} is malformed")
        self.url = url
        self.ca_file = ca_file
        self.proxy = proxy or Proxy()
        self.body_size_max = BODY_SIZE_MAX
        """Bytes that the server, or a proxy before it, lets through; lowered by who finds out."""
        self.grids: dict[str, str] = {}
        """The server's ids of the grids of runs, by run and definition, of those sent to it."""
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
                # With every request: a session's own settings give way to REQUESTS_CA_BUNDLE and
                # HTTPS_PROXY.
                verify=self._verify,
                proxies=proxies_for(self.proxy, self.url),
            )
        except OSError as trouble:  # every exception of requests is one
            reason = why_silent(trouble, seconds, address_for(self.proxy, self.url))
            raise ServerError(f"{self.url} does not answer: {reason}") from None
        return self._read(response)

    def listen(self, path: str, params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Open the stream of events at *path*, and yield the name and content of each as it comes.

        Ends when the server ends it.  Raises ServerError where it does not answer, breaks off, or
        says nothing for longer than three times the KEEP_ALIVE_S it promised; UnauthorisedError
        where it refuses the token.
        """
        silence = 3 * KEEP_ALIVE_S
        try:
            with self._own_session().get(
                f"{self.url}/api{path}",
                params=params,
                # Compressed, an event would wait for the next ones to fill a block.
                headers={"Accept": EVENT_STREAM, "Accept-Encoding": "identity"},
                timeout=(self._timeout, silence),
                allow_redirects=False,
                verify=self._verify,
                proxies=proxies_for(self.proxy, self.url),
                stream=True,
            ) as response:
                if not response.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                    raise self._error("GET", path, self._read(response))
                name = ""
                # Byte by byte: a larger read waits until so much has come.
                for line in response.iter_lines(chunk_size=1):
                    field, _, value = line.decode("utf-8", "replace").partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, loads(value)
        except OSError as trouble:
            reason = why_silent(trouble, silence, address_for(self.proxy, self.url))
            raise ServerError(f"{self.url} does not answer: {reason}") from None
        except ValueError as trouble:
            raise ServerError(f"{self.url} sends events that are none: {trouble}") from None

    def upload(
        self, url: str, file: BinaryIO, size: int, fields: Mapping[str, str] | None = None
    ) -> Answer:
        """Send the *size* bytes of *file* to *url*, as a server or a store of objects asked for.

        By PUT, or as a form with *fields* in front of them (S3's presigned POST); a part of the
        file is in memory at a time.  The token stays here: the address has a signature of its own.
        Whatever the answer holds is no more than its ``detail``.  Raises as ``send`` does.
        """
        body: BinaryIO | _Form | bytes = file if size else b""
        headers = {"User-Agent": USER_AGENT}
        if fields:
            body = _Form(file, size, fields)
            headers["Content-Type"] = body.content_type
        seconds = self._timeout + size / _STORED_S
        target = urljoin(f"{self.url}/api/", url)
        try:
            # A session of its own, without our authorisation: requests must not add it.
            with requests.Session() as session:
                session.trust_env = self._session.trust_env
                session.auth = lambda request: request
                response = session.request(
                    "POST" if fields else "PUT",
                    target,
                    data=body,
                    headers=headers,
                    timeout=(self._timeout, seconds),
                    allow_redirects=False,
                    verify=self._verify,
                    proxies=proxies_for(self.proxy, target),
                )
        except OSError as trouble:  # every exception of requests is one
            host = urlsplit(url).netloc or self.url
            reason = why_silent(trouble, seconds, address_for(self.proxy, target))
            raise ServerError(f"{host} does not take a file: {reason}") from None
        self._check_proxy(response)
        content, _ = _decode(response)
        detail = "" if response.ok else _detail(response, content)
        return Answer(
            response.status_code, None, detail, _seconds(response.headers.get("Retry-After"))
        )

    def download(self, url: str) -> Iterator[bytes]:
        """Yield the bytes at *url*, where a server or a store of objects keeps a file.

        The token stays here: the address has a signature of its own.  Raises ServerError if they
        do not come, or not whole.
        """
        host = urlsplit(url).netloc or self.url
        target = urljoin(f"{self.url}/api/", url)
        try:
            with requests.Session() as session:
                session.trust_env = self._session.trust_env
                session.auth = lambda request: request
                with session.get(
                    target,
                    headers={"User-Agent": USER_AGENT},
                    timeout=(self._timeout, _DOWNLOAD_SILENCE_S),
                    verify=self._verify,
                    proxies=proxies_for(self.proxy, target),
                    stream=True,
                ) as response:
                    self._check_proxy(response)
                    if not response.ok:
                        raise ServerError(
                            f"{host} answered the download of a file with "
                            f"{response.status_code}: {_detail(response, _decode(response)[0])}",
                            response.status_code,
                        )
                    yield from response.iter_content(_DOWNLOAD_SIZE)
        except OSError as trouble:  # every exception of requests is one
            why = why_silent(trouble, _DOWNLOAD_SILENCE_S, address_for(self.proxy, target))
            raise ServerError(f"{host} does not send a file whole: {why}") from None

    def _read(self, response: requests.Response) -> Answer:
        self._check_proxy(response)
        status, retry_after = response.status_code, _seconds(response.headers.get("Retry-After"))
        date = _moment(response.headers.get("Date"))
        content, decoded = _decode(response)
        if 200 <= status < 300:
            # A captive portal says 200 as well; taken for an answer it would cost rows.
            if not decoded and status != 204:
                raise ServerError(
                    f"{self.url} answers, but not as a Simvue server does: is the address right, "
                    "or a log-in page or proxy in between?"
                )
            return Answer(status, content, "", retry_after, date)
        return Answer(status, content, _detail(response, content), retry_after, date)

    def _check_proxy(self, response: requests.Response) -> None:
        # Taken for an answer of the server it would cost rows.
        if response.status_code == 407:
            proxy = address_for(self.proxy, response.url)
            raise ServerError(f"{self.url} is not reached: {why_proxy_refuses(407, proxy)}")

    # ---- A few attempts, for somebody who waits ------------------------------------------

    def get(self, path: str, params: Mapping[str, Any] | None = None, json: Any = None) -> Any:
        """Return the content at *path*; raises as `delete` does.

        Only ``/metrics/span`` wants *json* with the question.
        """
        return self._ask("GET", path, params=params, json=json)

    def put(self, path: str, json: Any = None) -> Any:
        """Update what is at *path*; raises as `delete` does."""
        return self._ask("PUT", path, json=json)

    def post(
        self,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Create an object, described as *json* or as msgpack in *body*; raises as `delete` does.

        Where it exists already (409, with its id) that is the answer, too.  Asked again only if
        the server refused to work on it: after a silence the object may exist, and a second
        would be made.  But what *headers* number is stored once, however often it is sent.
        """
        return self._ask("POST", path, json=json, params=params, body=body, headers=headers)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Delete what is at *path*.

        Takes up to `ATTEMPTS` attempts.  Raises UnauthorisedError for a refused token,
        ObjectNotFoundError where ``/<collection>/<id>`` does not exist, ServerError for any other
        trouble.
        """
        return self._ask("DELETE", path, params=params)

    def _ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        is_once = method == "POST" and not (headers and ROWS_HEADER in headers)
        attempt = 0
        while True:
            attempt += 1
            pause: float | None = None
            try:
                answer = self.send(
                    method, path, json=json, params=params, body=body, headers=headers
                )
            except ServerError:
                if attempt == ATTEMPTS or is_once:
                    raise
            else:
                if answer.ok or (method == "POST" and answer.exists):
                    return answer.content
                if method == "DELETE" and attempt > 1 and answer.status == 404:
                    # An earlier attempt did it, and only its answer was lost.
                    return {}
                repeatable = answer.status in _REFUSED or (answer.status >= 500 and not is_once)
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
        session.trust_env = not is_loopback(self.url)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=8)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


# ---- Files --------------------------------------------------------------------------------------


class _Form:
    """A file behind some fields, as a form that is read in parts; requests would hold it whole."""

    def __init__(self, file: BinaryIO, size: int, fields: Mapping[str, str]) -> None:
        boundary = secrets.token_hex(16)
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"'
        front = [f"{part.format(name)}\r\n\r\n{value}\r\n" for name, value in fields.items()]
        front.append(f'{part.format("file")}; filename="file"\r\n\r\n')
        self.content_type = f"multipart/form-data; boundary={boundary}"
        end = f"\r\n--{boundary}--\r\n".encode()
        head = "".join(front).encode()
        self._parts: list[BinaryIO] = [io.BytesIO(head), file, io.BytesIO(end)]
        self._size = len(head) + size + len(end)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        while self._parts:
            if block := self._parts[0].read(size):
                return block
            self._parts.pop(0)
        return b""


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
        date = _moment(retry_after)
        if date is None:
            return None
        seconds = date - time.time()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _moment(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
