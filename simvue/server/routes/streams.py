"""Streams: what changed, told while it happens; live.py has the mechanism."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar import Request, get
from litestar.response import Stream

from simvue import wire

from ..forms import check_id, invalid
from ..live import TOPICS, Listener, Topic
from ..parameters import Listening

# For the proxies in between: keep nothing, and (nginx) hold nothing back.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get("/live", query=Listening, answer=str, answer_media=wire.EVENT_STREAM)
async def listen(request: Request[Any, Any, Any]) -> Stream:
    """Answer events of ``topics`` and ``runs``, both separated by commas, until one side goes.

    Without the one all topics, without the other all runs.
    """
    topics = _words(request, "topics")
    for topic in topics:
        if topic not in TOPICS:
            known = ", ".join(TOPICS)
            raise invalid(f"a topic is one of {known}; got {topic[:40]!r}", "query", "topics")
    runs = [check_id(run, "query", "runs") for run in _words(request, "runs")]
    listener = Listener(request.scope["user"].user, cast(list[Topic], topics) or TOPICS, runs)
    stream = request.app.state.live.admit(listener)
    return Stream(stream, media_type=wire.EVENT_STREAM, headers=_HEADERS)


def _words(request: Request[Any, Any, Any], name: str) -> list[str]:
    return [word for word in request.query_params.get(name, "").split(",") if word]


HANDLERS: Final = [listen]
