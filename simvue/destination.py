"""Where bodies go: one server and token, the threads that send to it, and its state of health."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from simvue.backoff import backoff_s
from simvue.config import Proxy
from simvue.delivery import Outcome, Reply, Send, Then
from simvue.registrations import Registrations
from simvue.remote import Remote
from simvue.stream import Event, Stream
from simvue.uploads import UPLOADS_MAX, Uploads

IN_FLIGHT_MAX: Final = 8
"""Requests on the way to one server: the small ones of many ranks share one of its commits."""

IN_FLIGHT_SIZE: Final = 8 << 20
"""Bytes on the way beyond which no more is begun: two of the largest usual bodies.  Measured,
the second lifts one writer from 8M to 12M points/s; a third brings nothing."""

REFUSED_S: Final = 60.0
"""Between two tries of a token that was refused: somebody may be mending it."""


@dataclass
class Job:
    """One request: ``send`` in a thread of the destination, then ``then`` in the main thread."""

    send: Send
    then: Then
    size: int | None
    """Bytes that go out, where they are many; None for an upload, which is counted apart."""


Hear = Callable[["Destination", Event], None]


class Destination:
    """One server and token.  All methods are the main thread's.

    *server* has the members of an open call's ``server``; *wake* is called from the threads
    when a reply is there.  Raises ConfigurationError for a token that cannot stand in a header.
    """

    def __init__(self, server: dict[str, Any], wake: Callable[[], None]) -> None:
        self.url: str = server["url"]
        self.in_flight = 0
        self._size_in_flight = 0
        self.trouble = ""
        """Why the last request did not succeed; empty while all is well."""
        self.refused = False
        self.retry_at = 0.0
        self._failures = 0
        self._wake = wake
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._long_jobs: queue.SimpleQueue[Job] | None = None
        self.uploads = Uploads(self._start_upload)
        self.registrations = Registrations(self.submit)
        self._replies: deque[tuple[Job, Reply]] = deque()
        self._stream: Stream | None = None
        self._events: deque[tuple[Hear, Event]] = deque()
        self._remote = Remote(
            self.url,
            server["token"],
            token_source=server.get("token_source"),
            ca_file=server.get("ca_file"),
            proxy=Proxy(*server.get("proxy", ())),
        )
        for _ in range(IN_FLIGHT_MAX):
            self._start_thread(self._jobs)

    def is_ready(self, now: float) -> bool:
        """Whether it takes a job: after a failure one at a time, and not before its time."""
        if self.trouble:
            return now >= self.retry_at and self.in_flight == 0
        return self.in_flight < IN_FLIGHT_MAX and self._size_in_flight < IN_FLIGHT_SIZE

    def is_waiting(self, now: float) -> bool:
        """Whether it failed and is not to be asked again before ``retry_at``."""
        return bool(self.trouble) and now < self.retry_at

    def submit(self, send: Send, then: Then, size: int = 0) -> None:
        """Have *send* called in a thread, and *then* with its reply at a later ``collect``.

        *size* is the bytes that go out, where they are many.
        """
        self.in_flight += 1
        self._size_in_flight += size
        self._jobs.put(Job(send, then, size))

    def listen(self, hear: Hear) -> None:
        """Have *hear* called, at a later ``collect``, with each event that the server sends.

        Opens the stream the first time; it keeps nobody busy.
        """
        if self._stream is None:

            def take(event: Event) -> None:
                self._events.append((hear, event))
                self._wake()

            self._stream = Stream(self._remote, take)

    def collect(self, now: float) -> bool:
        """Act on the replies and events that came; True if there were any replies."""
        moved = False
        while self._events:
            hear, event = self._events.popleft()
            hear(self, event)
        while self._replies:
            job, reply = self._replies.popleft()
            if job.size is not None:
                self.in_flight -= 1
                self._size_in_flight -= job.size
                self._learn(reply, now)
            job.then(reply)
            moved = True
        if not self.is_waiting(now):
            self.uploads.step(now)
        return moved

    def _learn(self, reply: Reply, now: float) -> None:
        if reply.outcome is Outcome.LATER:
            asked_for = now + (reply.retry_after or 0.0)
            if self.is_waiting(now):
                # It was under way beside one that failed: one outage, one step of patience.
                self.retry_at = max(self.retry_at, asked_for)
                return
            self.trouble = reply.detail or "no answer"
            self.retry_at = max(now + backoff_s(self._failures), asked_for)
            self._failures += 1
        elif reply.outcome in (Outcome.REFUSED, Outcome.TOO_LARGE):
            self.refused = True
            self.trouble = reply.detail
            self.retry_at = now + REFUSED_S
        elif self.refused or not self.is_waiting(now):
            # Of one that was under way beside a failure, the success ends no wait: the server
            # may have asked for it.
            self.refused = False
            self.trouble = ""
            self._failures = 0

    def _start_upload(self, send: Send, then: Then) -> None:
        if self._long_jobs is None:
            # Most shippers never have one to send.
            self._long_jobs = queue.SimpleQueue()
            for _ in range(UPLOADS_MAX):
                self._start_thread(self._long_jobs)
        self._long_jobs.put(Job(send, then, None))

    def _start_thread(self, jobs: queue.SimpleQueue[Job]) -> None:
        threading.Thread(target=self._send, args=(jobs,), daemon=True).start()

    def _send(self, jobs: queue.SimpleQueue[Job]) -> None:
        while True:
            job = jobs.get()
            try:
                reply = job.send(self._remote)
            except Exception as error:  # noqa: BLE001 - part of the shipper's process boundary
                # A fault of ours must not end sending for good: tried again like an outage.
                reply = Reply(Outcome.LATER, f"{type(error).__name__}: {error}")
            self._replies.append((job, reply))
            self._wake()
