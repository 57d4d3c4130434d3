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
from ..store import RunGone
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
    total, events = asked.store.list_events(run, _contained(parameters), start, count)
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
    counts = asked.store.count_events(run, _contained(parameters), begin, window, bars)
    data = [
        {"timestamp": wire.format_timestamp(begin + bar * window), "count": count}
        for bar, count in enumerate(counts)
    ]
    return answer({"data": data})


def _contained(parameters: query.Parameters) -> list[str]:
    found = query.conditions(parameters)
    for condition in found:
        if (condition.key, condition.op) != ("event.message", "contains"):
            raise invalid("events take only event.message contains <text>", "query", "filters")
    return [condition.value for condition in found]


def _timestamp(parameters: query.Parameters, name: str) -> int:
    with checked("query", name):
        return wire.parse_timestamp(parameters.get(name) or "")


HANDLERS: Final = [add_events, list_events, count_events]
