"""Events: msgpack bodies of messages -> events as the store takes them.

A body is ``{"run", "events": [{"message", "timestamp", "log_level"}, ..]}``; a message without
a timestamp is of now, one without a level is ``info``.
"""

from __future__ import annotations

import time

import msgspec
from msgspec import Struct

from simvue import wire

from .forms import check_id, checked, clean_text, invalid
from .store import Event


class _Event(Struct):
    message: str
    timestamp: str | None = None
    log_level: str | None = None


class _Events(Struct):
    run: str
    events: list[_Event]


_EVENTS = msgspec.msgpack.Decoder(_Events)


def decode(body: bytes) -> tuple[str, list[Event]]:
    """Decode *body*; return the id of its run and its events.  The first wrong one is refused."""
    try:
        decoded = _EVENTS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(str(error), "body") from None
    run = check_id(decoded.run, "body", "run")
    now = time.time_ns() // 1000
    return run, [_event(place, event, now) for place, event in enumerate(decoded.events)]


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
