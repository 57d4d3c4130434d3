"""The stream of events by which a server says at once what its next reply would say later.

One for all runs of a node with the same server and token, in a thread that blocks in
reading.  It owes nobody anything: while it is cut, heartbeats bring the same news within a
minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from simvue.backoff import BACKOFF_S_MAX, backoff_s
from simvue.exception import ServerError, UnauthorisedError
from simvue.remote import Remote

Event = tuple[str, dict[str, Any]]
"""The name of an event and its content."""


class Stream:
    """Hands on every event that *remote* sends about aborts of our runs.

    *hear* is called in the stream's own thread: with ``("hello", {})`` each time the stream is
    open, from when on nothing is missed, and with ``("abort", {"run": id, "reason": text})``.
    A server that does not list ``live`` is not asked.
    """

    def __init__(self, remote: Remote, hear: Callable[[Event], None]) -> None:
        self._remote = remote
        self._hear = hear
        threading.Thread(target=self._run, name="simvue-stream", daemon=True).start()

    def _run(self) -> None:
        failures = 0
        while True:
            begun = time.monotonic()
            try:
                if not self._is_offered():
                    return
                for event in self._remote.listen("/live", {"topics": "abort"}):
                    self._hear(event)
            except (ServerError, UnauthorisedError):
                # Whoever sends rows has the same trouble, and tells of it.
                pass
            # One that breaks off at once is a failure, too: some proxy does not let it through.
            failures = 0 if time.monotonic() - begun > BACKOFF_S_MAX else failures + 1
            time.sleep(backoff_s(failures))

    def _is_offered(self) -> bool:
        answer = self._remote.probe()
        if answer is not None and not answer.ok:
            raise ServerError(f"{self._remote.url} answers {answer.status}", answer.status)
        return "live" in self._remote.features
