"""One delivery to a server: how a body or a call is said to it, and what its answer means.

The shipper and ``simvue ship`` both send through here, live rows and spooled ones alike::

    2xx 409          DONE         stored, or known already
    401 403          REFUSED      the token; tried again every minute
    404              UNKNOWN_RUN  register it again, then send again
    410              GONE         the run was deleted: set aside
    413              TOO_LARGE    a proxy's limit: sent in smaller parts; where even a few rows are
                                  too large, as REFUSED
    400 415 422      REJECTED     set aside with the answer beside it
    anything else    LATER        for ever, with full jitter, Retry-After obeyed
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from simvue.exception import ServerError
from simvue.remote import Answer, Remote, route
from simvue.wire import (
    ROWS_HEADER,
    WRITER_HEADER,
    Kind,
    body_header,
    is_id,
    rows_header,
    run_of_body,
)

_PART_ROWS_MAX: Final = 10_000
_PART_SIZE_MAX: Final = 900_000
"""Within what other Simvue servers take (16,000 rows) and proxies let through (1 MB); they
know no row numbers, so what they stored before a failure they store again."""


_PART_SIZE_MIN: Final = 4096
"""Below this it is not a limit on bodies that answers 413."""


class Outcome(enum.Enum):
    """What became of one delivery; see the module."""

    DONE = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN_RUN = enum.auto()
    GONE = enum.auto()
    TOO_LARGE = enum.auto()
    REJECTED = enum.auto()
    LATER = enum.auto()


_OUTCOMES: Final = {
    401: Outcome.REFUSED,
    403: Outcome.REFUSED,
    404: Outcome.UNKNOWN_RUN,
    409: Outcome.DONE,
    410: Outcome.GONE,
    413: Outcome.TOO_LARGE,
    400: Outcome.REJECTED,
    415: Outcome.REJECTED,
    422: Outcome.REJECTED,
}


@dataclass(frozen=True)
class Reply:
    """The meaning of an answer, with the server's words and what it sent back."""

    outcome: Outcome
    detail: str = ""
    content: Any = None
    retry_after: float | None = None


def judge(answer: Answer) -> Reply:
    """Say what *answer* means."""
    outcome = Outcome.DONE if answer.ok else _OUTCOMES.get(answer.status, Outcome.LATER)
    detail = "" if answer.ok else f"{answer.status} {answer.detail}".strip()
    return Reply(outcome, detail, answer.content, answer.retry_after)


def deliver_body(
    remote: Remote, kind: Kind, writer: str, first: int, end: int, body: bytes
) -> Reply:
    """Send the rows *first* to *end* of a writer; ``kind`` is metrics or events.  Never raises."""
    try:
        unknown = _get_to_know(remote)
        if unknown is not None:
            return unknown
        rows_max = end - first
        if "rows" not in remote.features:
            rows_max = _PART_ROWS_MAX
            remote.body_size_max = min(remote.body_size_max, _PART_SIZE_MAX)
        while True:
            reply = _deliver_parts(remote, kind, writer, first, end, body, rows_max)
            if reply.outcome is not Outcome.TOO_LARGE or remote.body_size_max < _PART_SIZE_MIN:
                return reply
            # A proxy in between lets less through.  Smaller parts get past it, and rows that
            # are numbered are stored once however they are cut.
            remote.body_size_max = min(remote.body_size_max, len(body)) // 2
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))


def deliver_call(remote: Remote, run: str, call: Mapping[str, Any]) -> Reply:
    """Carry out one call on *run*; doing it twice changes nothing.  Never raises.

    ``open`` creates the run or, without ``run``, changes one that is there; ``update`` is a
    partial update, ``tags`` adds to the tags there are, ``event`` is one of the
    shipper's own, ``end`` says that no more follows.
    """
    try:
        if call["call"] == "open" and call.get("run") is not None:
            return _create(remote, call["run"])
        if call["call"] == "tags":
            return _add_tags(remote, run, call["tags"])
        if call["call"] == "event":
            body = body_header(run, "events", 1) + msgpack.packb(call["event"])
            return deliver_body(remote, "events", call["writer"], 0, 1, body)
        if not call.get("changes"):
            return Reply(Outcome.DONE)
        reply = judge(remote.send("PUT", route("runs", run), json=call["changes"]))
        if call["call"] == "open" and reply.outcome is Outcome.UNKNOWN_RUN:
            # There is nothing to register: the run that was to be continued is not there.
            return Reply(Outcome.REJECTED, reply.detail)
        return reply
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))


def deliver_heartbeat(remote: Remote, run: str) -> Reply:
    """Say that *run* is alive.  Never raises."""
    try:
        return judge(remote.send("PUT", route("runs", run, "heartbeat")))
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))


def find_run(remote: Remote, name: str) -> Reply:
    """Look *name* up for a reconnect: DONE with ``id`` and ``name``, or REJECTED with a reason.

    The run of that id if there is one, else the newest in ``created`` of that name, else the
    only run of that name.  Never raises.
    """
    query = {
        "filters": json.dumps([f"name == {name}"]),
        "sorting": '[{"id": "created", "desc": true}]',
        "count": 100,
        "start": 0,
    }
    try:
        if is_id(name):
            reply = judge(remote.send("GET", route("runs", name)))
            if reply.outcome is Outcome.DONE:
                return Reply(Outcome.DONE, content={"id": name, "name": reply.content["name"]})
        reply = judge(remote.send("GET", "/runs", params=query))
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))
    if reply.outcome is not Outcome.DONE:
        return reply
    runs = reply.content["data"]
    waiting = [run for run in runs if run["status"] == "created"]
    if waiting:
        return Reply(Outcome.DONE, content={"id": waiting[0]["id"], "name": name})
    if len(runs) == 1:
        return Reply(Outcome.DONE, content={"id": runs[0]["id"], "name": name})
    if not runs:
        return Reply(Outcome.REJECTED, f"there is no run named {name!r}")
    ids = ", ".join(run["id"] for run in runs[:5])
    return Reply(
        Outcome.REJECTED,
        f"{len(runs)} runs are named {name!r} and none is waiting to start; reconnect by id: {ids}",
    )


def cut_rows(body: bytes, start: int, rows_max: int, size_max: int) -> list[tuple[int, int]]:
    """Say where to cut the rows of *body*, which begin at byte *start*.

    Returns [(rows, end), ...]: so many rows up to byte *end*, at most *rows_max* rows and, but
    for a row that is larger by itself, *size_max* bytes each.  Costs about 0.2 us a row.
    Raises ValueError if the bytes are no rows.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(body))
    unpacker.feed(memoryview(body)[start:])
    cuts = []
    rows, begin, at = 0, start, start
    while at < len(body):
        try:
            unpacker.skip()
        except (msgpack.OutOfData, msgpack.UnpackException) as error:
            raise ValueError(f"no row at byte {at}: {type(error).__name__}") from None
        after = start + unpacker.tell()
        if rows and (rows == rows_max or after - begin > size_max):
            cuts.append((rows, at))
            rows, begin = 0, at
        rows += 1
        at = after
    if rows:
        cuts.append((rows, at))
    return cuts


def _deliver_parts(
    remote: Remote, kind: Kind, writer: str, first: int, end: int, body: bytes, rows_max: int
) -> Reply:
    """Send a body in as many parts as the server wants it in; usually that is one."""
    run = run_of_body(body)
    start = len(body_header(run, kind, 0))
    cuts = [(end - first, len(body))]
    if len(body) > remote.body_size_max or end - first > rows_max:
        cuts = cut_rows(body, start, rows_max, remote.body_size_max)
    reply = Reply(Outcome.DONE)
    for rows, stop in cuts:
        part = body if len(cuts) == 1 else body_header(run, kind, rows) + body[start:stop]
        headers = {}
        if "rows" in remote.features:
            headers = {WRITER_HEADER: writer, ROWS_HEADER: rows_header(first, first + rows)}
        reply = judge(remote.send("POST", f"/{kind}", body=part, headers=headers))
        if reply.outcome is not Outcome.DONE:
            return reply
        start, first = stop, first + rows
    return reply


def _get_to_know(remote: Remote) -> Reply | None:
    """Ask the server once which additions it has; its reply if it does not say."""
    answer = remote.probe()
    if answer is None or answer.ok:
        return None
    reply = judge(answer)
    if reply.outcome is Outcome.REFUSED:
        return reply
    # Whatever else it says, it is not yet the server that these rows are for.
    return Reply(Outcome.LATER, f"{remote.url} answers {reply.detail}", None, reply.retry_after)


def _create(remote: Remote, run: Mapping[str, Any]) -> Reply:
    unknown = _get_to_know(remote)
    if unknown is not None:
        return unknown
    if "run-id" not in remote.features:
        # Such a server names the run itself, and wants the folder made before it.
        judge(remote.send("POST", "/folders", json={"path": run["folder"]}))
        run = {key: value for key, value in run.items() if key != "id"}
    return judge(remote.send("POST", "/runs", json=run))


def _add_tags(remote: Remote, run: str, tags: list[str]) -> Reply:
    reply = judge(remote.send("GET", route("runs", run)))
    if reply.outcome is not Outcome.DONE:
        return reply
    there = reply.content.get("tags") or []
    union = [*there, *(tag for tag in dict.fromkeys(tags) if tag not in there)]
    return judge(remote.send("PUT", route("runs", run), json={"tags": union}))
