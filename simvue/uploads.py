"""Uploads: artifacts on their way to one server, beside everything else that goes there.

An upload may take an hour, and may fail for reasons that rows do not know, a full store say.  So
it has threads and a patience of its own: it holds up no row and no call, and is tried until the
server has it or refuses it for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from simvue.backoff import backoff_s
from simvue.delivery import Outcome, Reply, Send, Then

UPLOADS_MAX: Final = 2
"""Uploads under way to one server: a small one need not wait for a large one, and a third would
only take its share of the same wire."""

_PASSING: Final = frozenset({Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE})


@dataclass
class _Upload:
    """One artifact that is to go."""

    send: Send
    thens: list[Then]
    under_way: bool = False
    failures: int = 0
    retry_at: float = 0.0


@dataclass
class Uploads:
    """The artifacts that are to go to one server.  All methods are the main thread's.

    *start* has the first called in a thread, and the second with its reply in the main thread.
    """

    start: Callable[[Send, Then], None]
    trouble: str = ""
    """Why the last one that ended did not arrive; empty if it did."""
    _uploads: dict[str, _Upload] = field(default_factory=dict)

    @property
    def under_way(self) -> int:
        """How many are being sent just now."""
        return sum(upload.under_way for upload in self._uploads.values())

    def add(self, artifact: str, send: Send, then: Then) -> None:
        """Have *send* called until it is done or refused for good, then *then* with its reply.

        An artifact that is to go already is not sent a second time.
        """
        if artifact in self._uploads:
            self._uploads[artifact].thens.append(then)
        else:
            self._uploads[artifact] = _Upload(send, [then])

    def step(self, now: float) -> None:
        """Begin what is due at *now* of the monotonic clock, the oldest first."""
        for artifact, upload in self._uploads.items():
            if self.under_way >= UPLOADS_MAX:
                return
            if not upload.under_way and now >= upload.retry_at:
                self._begin(artifact, upload)

    def _begin(self, artifact: str, upload: _Upload) -> None:
        upload.under_way = True

        def then(reply: Reply) -> None:
            upload.under_way = False
            self.trouble = reply.detail
            if reply.outcome in _PASSING:
                wait = max(backoff_s(upload.failures), reply.retry_after or 0.0)
                upload.failures += 1
                upload.retry_at = time.monotonic() + wait
                return
            del self._uploads[artifact]
            for tell in upload.thens:
                tell(reply)

        self.start(upload.send, then)
