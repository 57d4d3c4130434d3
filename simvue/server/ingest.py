"""Ingest: bodies of rows, from their last byte to a committed transaction.

::

    Ingest    one thread a body: decode without the GIL, add to the store, wait for the
      │       commit, answer {"stored", "abort"}
    salvage   takes the rows that can be stored out of a body that has others: a client
      │       that numbers its rows is told, any other would send nothing ever again
    _digest   tells a body without row numbers from all others, so that a retry of an
              official client is stored once

The pool of threads is its own: no reader of charts, however many there are, stands in
front of a run's rows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request, Response

from simvue import wire
from simvue._columns import Rows, decode_metrics

from . import events, meters, tensors
from .alerts import Alerts
from .forms import Refused, answer, check_id, checked, invalid
from .live import Live
from .store import Span, Store, Stored

logger = logging.getLogger("simvue.server")

T = TypeVar("T")

# Bodies decoded and committed at a time.  A commit is a wait for the disk, during which
# the others gather into the next group, so more threads than cores (chosen).
THREADS: Final = 16

# ---- Rows that cannot be stored ------------------------------------------------------------

# Rows looked at one by one; official clients send at most 16,000 in a body.
SALVAGE_MAX: Final = 65_536
_MEMBERS = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.msgpack.Decoder(list[msgspec.Raw])


def salvage(
    body: bytes, kind: str, decode: Callable[[bytes], T], refusal: Refused
) -> tuple[T, int]:
    """Decode those rows of *body* that *decode* takes; return them and how many it does not.

    *kind* is the member that holds them.  Raises *refusal* if the body is no batch of rows
    at all, Refused if its run is none.
    """
    try:
        members = _MEMBERS.decode(body)
        if members.keys() != {"run", kind} or _length(members[kind]) > SALVAGE_MAX:
            raise refusal
        rows = _LIST.decode(members[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refusal from None

    def batch(some: list[msgspec.Raw]) -> bytes:
        return msgspec.msgpack.encode({"run": members["run"], kind: some})

    decode(batch([]))
    sound = []
    for row in rows:
        try:
            decode(batch([row]))
        except Refused:
            continue
        sound.append(row)
    return decode(batch(sound)), len(rows) - len(sound)


def _length(array: msgspec.Raw) -> int:
    """Read how many items a msgpack array says it has; 0 if it is none."""
    head = bytes(memoryview(array)[:5])
    if head[0] & 0xF0 == 0x90:
        return head[0] & 0x0F
    if head[0] in (0xDC, 0xDD):
        return int.from_bytes(head[1 : 3 if head[0] == 0xDC else 5], "big")
    return 0


# ---- Rows into the store -----------------------------------------------------------------------


def gone(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Word the answer to rows of a deleted run: a late spool must not raise the dead."""
    return answer({"detail": "the run was deleted"}, 410)


def faulty(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Word the answer to a request about a live run that failed by a fault of ours.

    Never 500: official clients then give up on the run for good, but try again at a 503.
    """
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer({"detail": "the server failed; send again"}, 503, {"Retry-After": "10"})


class Ingest:
    """The road of a body into the store."""

    def __init__(self, store: Store, live: Live, alerts: Alerts) -> None:
        self._store = store
        self._live = live
        self._alerts = alerts
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ingest")

    def close(self) -> None:
        """Wait for the bodies in hand."""
        self._threads.shutdown()

    async def add_metrics(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Store the body of *request* as metric rows; answers after the commit."""
        return await self._add(request, self._metrics, meters.METRICS)

    async def add_events(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Store the body of *request* as events; answers after the commit."""
        return await self._add(request, self._events, meters.EVENTS)

    async def add_tensors(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Store the body of *request* as arrays of the run in its path, like the others."""
        run = check_id(request.path_params["run"], "path", "id")
        return await self._add(request, partial(self._tensors, run), meters.ARRAYS)

    async def _add(
        self,
        request: Request[Any, Any, Any],
        store: Callable[[bytes, Span | None], tuple[Stored, int, int]],
        counted: meters.BodyMeters,
    ) -> Response[bytes]:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Refused(415, f"bodies are taken as they are, not in {encoding[:40]!r}")
        numbers = _row_numbers(
            request.headers.get(wire.WRITER_HEADER), request.headers.get(wire.ROWS_HEADER)
        )
        body = await request.body()
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        # In the request's context, so that what the thread logs names the request.
        stored, sound, refused = await loop.run_in_executor(
            self._threads, copy_context().run, store, body, numbers
        )
        seconds = time.perf_counter() - begun
        counted.add(len(body), stored.stored, sound - stored.stored, refused, seconds)
        found: dict[str, Any] = {"stored": stored.stored, "abort": stored.abort}
        if refused:
            found["refused"] = refused
        return answer(found)

    def _metrics(self, body: bytes, numbers: Span | None) -> tuple[Stored, int, int]:
        rows, refused = _decoded(body, "metrics", _decode_metrics, numbers)
        _check_count(numbers, rows.count)
        distinct = not numbers and all((block.timestamp % 1_000_000).all() for block in rows.blocks)
        with checked("header"):
            stored = self._store.add_metrics(rows.run, rows, numbers, _digest(body, distinct))
        self._live.publish("rows", rows.run)
        self._alerts.hear(rows.run)
        return stored, rows.count, refused

    def _events(self, body: bytes, numbers: Span | None) -> tuple[Stored, int, int]:
        (run, found), refused = _decoded(body, "events", events.decode, numbers)
        _check_count(numbers, len(found))
        distinct = not numbers and all(event.timestamp % 1_000_000 for event in found)
        with checked("header"):
            stored = self._store.add_events(run, found, numbers, _digest(body, distinct))
        self._live.publish("rows", run)
        self._alerts.hear(run)
        return stored, len(found), refused

    def _tensors(self, run: str, body: bytes, numbers: Span | None) -> tuple[Stored, int, int]:
        found, refused = tensors.decode(body, strict=numbers is not None)
        _check_count(numbers, len(found))
        distinct = not numbers and all(tensor.timestamp % 1_000_000 for tensor in found)
        with checked("body"):
            stored = self._store.add_tensors(run, found, numbers, _digest(body, distinct))
        self._live.publish("rows", run)
        return stored, len(found), refused


def _decoded(
    body: bytes, kind: str, decode: Callable[[bytes], T], numbers: Span | None
) -> tuple[T, int]:
    """Decode *body*; of one without row numbers, what can be, and how many rows cannot."""
    try:
        return decode(body), 0
    except Refused as refusal:
        if numbers is not None:
            raise
        found, refused = salvage(body, kind, decode, refusal)
        logger.warning("%d rows of a body of %s cannot be stored: %s", refused, kind, refusal)
        return found, refused


def _decode_metrics(body: bytes) -> Rows:
    with checked("body"):
        rows = decode_metrics(body)
    check_id(rows.run, "body", "run")
    return rows


def _digest(body: bytes, distinct: bool) -> bytes | None:
    """Return what tells *body* from all others of its run, if its rows are *distinct*.

    Those whose timestamps all have fractions of a second are: two such bodies alike to the
    microsecond are one body sent twice, but two alike in whole seconds may be two.
    """
    return hashlib.sha256(body).digest() if distinct else None


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
