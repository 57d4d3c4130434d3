"""Relay: what happens at one server is news at all that share its store.

::

    Live.publish ──> pending ── at most every PAUSE_S; aborts at once ──> Store.tell
                                                                             │ database
    Live.deliver <── from each other server <───────────────── Store.hear <──┘

What others tell is told to listeners here and not passed on again.  News may be lost while the
database restarts, at whoever tells and at whoever hears: listeners are then told that all may
have changed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Final

from simvue.exception import StoreError

from .live import PAUSE_S, TOPICS, Live, Topic
from .store import NEWS_MAX, Store

# Of an abort's reason, which anybody may write as long as he likes; ASCII may need six times it.
_REASON_MAX: Final = 1000

logger = logging.getLogger("simvue.server")


class Relay:
    """Passes news between *live* and the other servers of *store*, until it is left."""

    def __init__(self, store: Store, live: Live) -> None:
        self._store = store
        self._live = live
        self._pending: dict[tuple[Topic, str, str], str] = {}
        self._changed = threading.Condition()
        self._urgent = False
        self._lost = False
        """Whether some news could not be told."""
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="simvue-relay", daemon=True)
        self._thread.start()
        live.relay = self.pass_on
        store.hear(self._heard)

    def pass_on(self, topic: Topic, run: str, owner: str, reason: str) -> None:
        """Tell other servers what Live.publish tells listeners; never waits."""
        with self._changed:
            self._pending[topic, run, owner] = reason
            self._urgent |= topic == "abort"
            self._changed.notify()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        """Pass on what is pending, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._lost or self._closed)
                pending, self._pending = self._pending, {}
                self._urgent = False
                closed = self._closed
            try:
                # No news in particular: that some may have been missed.
                for news in [""] if self._lost else _texts(pending):
                    self._store.tell(news)
                self._lost = False
            except StoreError as error:
                if not self._lost:
                    logger.warning("other servers are not told what changed: %s", error)
                self._lost = True
            if closed:
                return
            until = time.monotonic() + PAUSE_S
            with self._changed:
                self._changed.wait_for(
                    lambda: self._urgent or self._closed, until - time.monotonic()
                )

    def _heard(self, news: str) -> None:
        if not news:
            self._live.missed()
            return
        for topic, run, owner, reason in json.loads(news):
            # A newer program may have others.
            if topic in TOPICS:
                self._live.deliver(topic, run, owner, reason)


def _texts(pending: dict[tuple[Topic, str, str], str]) -> list[str]:
    """Write *pending* as few texts that are each small enough to be told."""
    texts: list[list[str]] = [[]]
    size = 0
    for (topic, run, owner), reason in pending.items():
        text = json.dumps([topic, run, owner, reason[:_REASON_MAX]])
        if size + len(text) + 2 > NEWS_MAX:
            texts.append([])
            size = 0
        texts[-1].append(text)
        size += len(text) + 2
    return [f"[{','.join(some)}]" for some in texts if some]
