"""One delivery to a server: how a body or a call is said to it, and what its answer means.

The shipper and ``simvue ship`` both send through here, live rows and spooled ones alike::

    2xx 409          DONE         stored, or known already
    401 403          REFUSED      the token; tried again every minute
    404              UNKNOWN_RUN  register it again, then send again
    (a reconnect)    UNRESOLVED   there is no such run yet, or several: kept until there is one
    410              GONE         the run was deleted: set aside
    413              TOO_LARGE    a proxy's limit: sent in smaller parts; where even a few rows are
                                  too large, as REFUSED
    400 415 422      REJECTED     set aside with the answer beside it
    anything else    LATER        for ever, with full jitter, Retry-After obeyed
"""

from __future__ import annotations

import enum
from collections.abc import Callable
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
    rows_header,
    run_of_body,
)

PART_ROWS_MAX: Final = 10_000
PART_SIZE_MAX: Final = 900_000
"""Within what other Simvue servers take (16,000 rows) and proxies let through (1 MB); they
know no row numbers, so what they stored before a failure they store again."""


_PART_SIZE_MIN: Final = 4096
"""Below this it is not a limit on bodies that answers 413."""


class Outcome(enum.Enum):
    """What became of one delivery; see the module."""

    DONE = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN_RUN = enum.auto()
    UNRESOLVED = enum.auto()
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


Send = Callable[[Remote], Reply]
"""One request, made in a thread of its destination's."""

Then = Callable[[Reply], None]
"""What is done with its reply, in the main thread."""


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
        unknown = get_to_know(remote)
        if unknown is not None:
            return unknown
        rows_max = end - first
        if "rows" not in remote.features:
            rows_max = PART_ROWS_MAX
            remote.body_size_max = min(remote.body_size_max, PART_SIZE_MAX)
        while True:
            reply = _deliver_parts(remote, kind, writer, first, end, body, rows_max)
            if reply.outcome is not Outcome.TOO_LARGE or remote.body_size_max < _PART_SIZE_MIN:
                return reply
            # A proxy in between lets less through.  Smaller parts get past it, and rows that
            # are numbered are stored once however they are cut.
            remote.body_size_max = min(remote.body_size_max, len(body)) // 2
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))


def deliver_heartbeat(remote: Remote, run: str) -> Reply:
    """Say that *run* is alive.  Never raises."""
    try:
        return judge(remote.send("PUT", route("runs", run, "heartbeat")))
    except ServerError as trouble:
        return Reply(Outcome.LATER, str(trouble))


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


def get_to_know(remote: Remote) -> Reply | None:
    """Ask the server once which additions it has; its reply if it does not say."""
    answer = remote.probe()
    if answer is None or answer.ok:
        return None
    reply = judge(answer)
    if reply.outcome is Outcome.REFUSED:
        return reply
    # Whatever else it says, it is not yet the server that these rows are for.
    return Reply(Outcome.LATER, f"{remote.url} answers {reply.detail}", None, reply.retry_after)
