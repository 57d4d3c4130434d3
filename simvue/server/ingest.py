"""Ingest: bodies of rows, from their last byte to a committed transaction.

::

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
from typing import Any, Final

import msgspec
from litestar import Request, Response
from msgspec import Struct

from simvue import wire
from simvue._columns import decode_metrics

from .forms import Refused, answer, check_id, checked, clean_text, invalid
from .store import Event, Span, Store, Stored

# Bodies decoded and committed at a time.  A commit is a wait for the disk, during which
# the others gather into the next group, so more threads than cores (chosen).
THREADS: Final = 16
# Official clients retry five times within 20 s, each try at most minutes apart.
REPEAT_S: Final = 600.0
# Bodies remembered for that time, about 40 MiB: 437 official clients at one body a second.
REPEATS_MAX: Final = 262_144

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
