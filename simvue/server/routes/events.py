"""Events: what a run said in words, in and out."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post

from simvue import wire

from .. import query
from ..forms import answer, check_id, checked, invalid
from ..ingest import faulty, gone
from ..parameters import OfEvents, Windows
from ..shapes import Event, EventRows, Histogram, Page, Stored
from ..store import Filter, RunGone
from . import Asked, threaded

# Bars of a histogram: more than any screen has pixels.
BARS_MAX: Final = 10_000


@post(
    "/events",
    exception_handlers={RunGone: gone, Exception: faulty},
    body=EventRows,
    body_media=wire.MSGPACK,
    answer=Stored,
)
async def add_events(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Store a body of events."""
    return await request.app.state.ingest.add_events(request)  # type: ignore[no-any-return]


@get("/events", query=OfEvents, answer=Page[Event])
@threaded
def list_events(asked: Asked) -> Response[bytes]:
    """Answer a page of a run's events, oldest first; no count, or 0, means all."""
    parameters = asked.parameters
    run = check_id(parameters.get("run") or "", "query", "run")
    start = query.whole(parameters, "start", query.START_MAX) or 0
    count = query.whole(parameters, "count", query.START_MAX) or None
    contained, levels = _wanted(parameters)
    total, events = asked.store.list_events(run, contained, start, count, levels)
    data = [
        {
            "message": event.message,
            "timestamp": wire.format_timestamp(event.timestamp),
            "log_level": event.log_level,
        }
        for event in events
    ]
    return answer(query.page(total, data))


@get("/events/histogram", query=Windows, answer=Histogram)
@threaded
def count_events(asked: Asked) -> Response[bytes]:
    """Answer how many events fell into each window of seconds between two timestamps."""
    parameters = asked.parameters
    run = check_id(parameters.get("run") or "", "query", "run")
    window = (query.whole(parameters, "window", 2**31) or 1) * 1_000_000
    begin = _timestamp(parameters, "timestamp_begin")
    end = _timestamp(parameters, "timestamp_end")
    bars = max(1, -(-(end - begin) // window))
    if bars > BARS_MAX:
        raise invalid(
            f"{bars} windows are more than {BARS_MAX}; ask for a wider one", "query", "window"
        )
    contained, levels = _wanted(parameters)
    counts = asked.store.count_events(run, contained, begin, window, bars, levels)
    data = [
        {"timestamp": wire.format_timestamp(begin + bar * window), "count": count}
        for bar, count in enumerate(counts)
    ]
    return answer({"data": data})


def _wanted(parameters: query.Parameters) -> tuple[list[str], list[str] | None]:
    """Read the filters: texts that the message contains; levels of which it is one, if any."""
    contained: list[str] = []
    levels: list[str] | None = None
    for condition in query.conditions(parameters):
        match condition.key, condition.op:
            case "event.message", "contains":
                contained.append(condition.value)
            case "event.log_level", "==" | ">=":
                some = _levels(condition)
                levels = some if levels is None else [level for level in levels if level in some]
            case _:
                raise invalid(
                    "events take only event.message contains <text>, and event.log_level == or "
                    ">= <level>",
                    "query",
                    "filters",
                )
    return contained, levels


def _levels(condition: Filter) -> list[str]:
    """Return the levels that one condition allows: that one, or that one and graver ones."""
    if condition.value not in wire.LOG_LEVELS:
        known = ", ".join(wire.LOG_LEVELS)
        raise invalid(
            f"a level is one of {known}; got {condition.value[:40]!r}", "query", "filters"
        )
    place = wire.LOG_LEVELS.index(condition.value)
    return list(wire.LOG_LEVELS[place : place + 1 if condition.op == "==" else None])


def _timestamp(parameters: query.Parameters, name: str) -> int:
    with checked("query", name):
        return wire.parse_timestamp(parameters.get(name) or "")


HANDLERS: Final = [add_events, list_events, count_events]
