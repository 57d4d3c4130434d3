"""Ingest: bodies of rows, from the socket to a committed transaction.

::

    Inflow    counts the bytes of all bodies inside; full: 503 before the body is read
      │       (event loop)
    Ingest    one thread a body: decode without the GIL, add to the store, wait for the
      │       commit, answer {"stored", "abort"}
    Repeats   knows bodies without row numbers that came lately, so that a retry of an
              official client is stored once

The pool of threads is its own: no reader of charts, however many there are, stands in
front of a run's rows.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response
from litestar.enums import ScopeType
from msgspec import Struct

from simvue import wire
from simvue._columns import decode_metrics

from .forms import Refused, answer, check_id, checked, clean_text, invalid, send_refusal
from .store import Event, Span, Store, Stored

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

# What may wait in memory in all: four of the largest bodies, and a third of what the
# smallest machine we think of (1 GiB) can spare.
WAITING_MAX: Final = 256 << 20
# A body is a segment plus its header, and JSON bodies obey the same limit.
BODY_MAX: Final = wire.BODY_SIZE_MAX + 4096
# A sender that is silent for this long has lost its network; it will send again, and its
# place is needed: four of the largest bodies are all that fit.
SILENCE_S: Final = 30.0
# Bodies decoded and committed at a time.  A commit is a wait for the disk, during which
# the others gather into the next group, so more threads than cores (chosen).
THREADS: Final = 16
# Official clients retry five times within 20 s, each try at most minutes apart.
REPEAT_S: Final = 600.0
# Bodies remembered for that time, about 40 MiB: 437 official clients at one body a second.
REPEATS_MAX: Final = 262_144

# ---- Bodies on their way in ---------------------------------------------------------------


class Inflow:
    """ASGI application in front of *app* that bounds what bodies on their way in may hold.

    All together hold at most *waiting_max* bytes of memory, from the announcement of a
    body to the answer.  A sender that says nothing for *silence* seconds gives its place up.
    """

    def __init__(
        self, app: ASGIApp, waiting_max: int = WAITING_MAX, silence: float = SILENCE_S
    ) -> None:
        self._app = app
        self._waiting_max = waiting_max
        self._silence = silence
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, 503 or 408 to a body that does not fit or come; hand on every other."""
        length = _announced_length(scope) if scope["type"] == ScopeType.HTTP else 0
        if length == 0:
            await self._app(scope, receive, send)
            return
        body = _Body(self, receive, counted=length is None)
        try:
            if length is not None:
                body.hold(length)
            await self._app(scope, body.receive, send)
        except Refused as refused:
            await send_refusal(send, refused)
        except asyncio.CancelledError:
            if not body.silent:
                raise
            detail = f"the rest of the body did not come for {self._silence:.0f} s"
            await send_refusal(send, Refused(408, detail, {"Connection": "close"}))
        finally:
            body.release()

    def take(self, size: int) -> None:
        """Take room for *size* bytes; refuses (503) if there is none."""
        if self._waiting + size > self._waiting_max:
            raise Refused(
                503, "too many bodies wait to be stored; send again", {"Retry-After": "1"}
            )
        self._waiting += size

    def give_back(self, size: int) -> None:
        """Give back room that was taken."""
        self._waiting -= size

    @property
    def silence(self) -> float:
        """Seconds after which a sender that says nothing gives its place up."""
        return self._silence


class _Body:
    """One body on its way in: the room it holds, and when it was last heard of."""

    def __init__(self, inflow: Inflow, receive: Receive, counted: bool) -> None:
        self.silent = False
        self._inflow = inflow
        self._receive = receive
        # Sent in chunks of unknown number: counted as they come.
        self._counted = counted
        self._held = 0
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._heard = self._loop.time()
        # One timer for the whole body: a timeout around each receive costs a task a chunk.
        self._timer = self._loop.call_later(inflow.silence, self._look)

    def hold(self, size: int) -> None:
        if self._held + size > BODY_MAX:
            raise Refused(413, f"a body may have at most {wire.BODY_SIZE_MAX} bytes")
        self._inflow.take(size)
        self._held += size

    def release(self) -> None:
        self._timer.cancel()
        self._inflow.give_back(self._held)
        self._held = 0

    async def receive(self) -> Any:
        message: Any = await self._receive()
        self._heard = self._loop.time()
        if self._counted:
            self.hold(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self._timer.cancel()
        return message

    def _look(self) -> None:
        remaining = self._heard + self._inflow.silence - self._loop.time()
        if remaining > 0:
            self._timer = self._loop.call_later(remaining, self._look)
        elif self._task is not None:
            self.silent = True
            self._task.cancel()


def _announced_length(scope: Scope) -> int | None:
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            # The HTTP parser has refused anything but digits.
            return int(value)
        chunked = chunked or name == b"transfer-encoding"
    return None if chunked else 0


# ---- Repeats ---------------------------------------------------------------------------------


class Repeats:
    """Bodies that came lately without row numbers, by the SHA-256 of their bytes.

    Only those whose timestamps all have fractions of a second: two such bodies alike to
    the microsecond are one body sent twice, but two alike in whole seconds may be two.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # A body in progress, or when it was stored; in the order of their coming.
        self._seen: dict[bytes, tuple[float, Future[Stored] | None]] = {}

    def once(self, key: bytes, store: Callable[[], Stored]) -> Stored:
        """Call *store* unless a body with this *key* was stored in the last ten minutes.

        Waits for a first try that is still under way; if that fails, this one fails alike.
        """
        future: Future[Stored] = Future()
        with self._lock:
            now = self._clock()
            self._forget(now)
            if key in self._seen:
                earlier = self._seen[key][1]
            else:
                earlier = future
                self._seen[key] = (now, future)
        if earlier is not future:
            return Stored(0, earlier.result().abort if earlier else False)
        try:
            stored = store()
        except BaseException as error:
            with self._lock:
                self._seen.pop(key, None)
            future.set_exception(error)
            raise
        with self._lock:
            self._seen[key] = (now, None)
        future.set_result(stored)
        return stored

    def _forget(self, now: float) -> None:
        while self._seen:
            key, (when, _) = next(iter(self._seen.items()))
            if now - when < REPEAT_S and len(self._seen) < REPEATS_MAX:
                break
            del self._seen[key]


# ---- Rows into the store -----------------------------------------------------------------------


class _Event(Struct):
    message: str
    timestamp: str | None = None
    log_level: str | None = None


class _Events(Struct):
    run: str
    events: list[_Event]


_EVENTS = msgspec.msgpack.Decoder(_Events)


def gone(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Word the answer to rows of a deleted run: a late spool must not raise the dead."""
    return answer({"detail": "the run was deleted"}, 410)


class Ingest:
    """The road of a body into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._repeats = Repeats()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ingest")

    def close(self) -> None:
        """Wait for the bodies in hand."""
        self._threads.shutdown()

    async def add_metrics(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Store the body of *request* as metric rows; answers after the commit."""
        return await self._add(request, self._metrics)

    async def add_events(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Store the body of *request* as events; answers after the commit."""
        return await self._add(request, self._events)

    async def _add(
        self,
        request: Request[Any, Any, Any],
        store: Callable[[bytes, Span | None, str], Stored],
    ) -> Response[bytes]:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Refused(415, f"bodies are taken as they are, not in {encoding[:40]!r}")
        numbers = _row_numbers(
            request.headers.get(wire.WRITER_HEADER), request.headers.get(wire.ROWS_HEADER)
        )
        body = await request.body()
        loop = asyncio.get_running_loop()
        owner = request.scope["user"].user
        stored = await loop.run_in_executor(self._threads, store, body, numbers, owner)
        return answer({"stored": stored.stored, "abort": stored.abort})

    def _metrics(self, body: bytes, numbers: Span | None, owner: str) -> Stored:
        with checked("body"):
            rows = decode_metrics(body)
        run = check_id(rows.run, "body", "run")
        _check_count(numbers, rows.count)

        def store() -> Stored:
            return self._store.add_metrics(run, rows, numbers)

        if numbers or not all((block.timestamp % 1_000_000).all() for block in rows.blocks):
            return store()
        return self._repeats.once(_key(owner, body), store)

    def _events(self, body: bytes, numbers: Span | None, owner: str) -> Stored:
        try:
            decoded = _EVENTS.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise invalid(str(error), "body") from None
        run = check_id(decoded.run, "body", "run")
        _check_count(numbers, len(decoded.events))
        now = time.time_ns() // 1000
        events = [_event(place, event, now) for place, event in enumerate(decoded.events)]

        def store() -> Stored:
            return self._store.add_events(run, events, numbers)

        if numbers or not all(event.timestamp % 1_000_000 for event in events):
            return store()
        return self._repeats.once(_key(owner, body), store)


def _key(owner: str, body: bytes) -> bytes:
    # The body names its run and its kind itself.
    return hashlib.sha256(owner.encode() + b"\0" + body).digest()


def _row_numbers(writer: str | None, rows: str | None) -> Span | None:
    if writer is None and rows is None:
        return None
    if writer is None or rows is None:
        raise invalid(f"{wire.WRITER_HEADER} and {wire.ROWS_HEADER} come together", "header")
    check_id(writer, "header", wire.WRITER_HEADER)
    with checked("header", wire.ROWS_HEADER):
        first, end = wire.parse_rows_header(rows)
    return Span(writer, first, end)


def _check_count(numbers: Span | None, count: int) -> None:
    if numbers is not None and numbers.end - numbers.first != count:
        raise invalid(
            f"{numbers.first}-{numbers.end} are {numbers.end - numbers.first} rows, "
            f"and the body holds {count}",
            "header",
            wire.ROWS_HEADER,
        )


def _event(place: int, event: _Event, now: int) -> Event:
    with checked("body", "events", place, "timestamp"):
        timestamp = now if event.timestamp is None else wire.parse_timestamp(event.timestamp)
    level = (event.log_level or "info").lower()
    if level not in wire.LOG_LEVELS:
        raise invalid(
            f"a level is one of {', '.join(wire.LOG_LEVELS)}; got {level[:40]!r}",
            "body",
            "events",
            place,
            "log_level",
        )
    return Event(timestamp, level, clean_text(event.message))
