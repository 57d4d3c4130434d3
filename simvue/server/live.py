"""Live: what changed, told at once to whoever listens, as server-sent events.

::

    any thread ── publish ──> changes ──┐ event loop, at most every PAUSE_S; aborts at once
                                        v
                      Listener  Listener  Listener      what each has not been sent yet
                          │         │         │
                       stream    stream    stream       text/event-stream

An event names a run and a topic and carries no values: whoever wants to know more asks for
it.  So news of a run that wait are one piece of news, and a slow listener costs a bounded
memory and holds up nobody.  The first event of a stream is ``hello``: what is published
from then on is heard, and what was known before may be old.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, Literal

from simvue import wire

from .forms import Refused, to_json

Topic = Literal["abort", "run", "rows"]
TOPICS: Final[tuple[Topic, ...]] = ("abort", "run", "rows")
"""A run is asked to stop, to its owner only · its state or its description changed · rows
of it were stored."""

# A page that redraws five times a second looks continuous, and asks no more often.
PAUSE_S: Final = 0.2
# News that wait for one listener; beyond it, ``hello`` says it in one word: all may have changed.
PENDING_MAX: Final = 4096
# Half of the descriptors that a process usually gets (1,024): the others are for rows.
LISTENERS_MAX: Final = 512
# A stream is closed after this time at the latest, and opened again by who still may: a
# token taken away hears nothing more.
LIFE_S: Final = 600.0
# What a browser waits before it opens a stream again, in ms; its own default is 3 to 5 s.
_RETRY: Final = 1000

_Channel = tuple[str, str]
"""A topic, and the only user who hears of it; empty for everybody."""
_Key = tuple[str, str]
"""A topic and a run: of two events with the same one says it all."""
_News = dict[_Channel, dict[_Key, bytes]]


def _encode(name: str, content: dict[str, str]) -> bytes:
    # JSON in ASCII has no line break in it, which would end the event.
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), to_json(content))


_HELLO: Final = b"retry: %d\n" % _RETRY + _encode("hello", {})
# A comment, which listeners pass over.
_KEEP_ALIVE: Final = b":\n\n"


class Listener:
    """Who listens to what, and the news that it was not sent yet.

    *runs* are the ids it asks for; all runs, if there are none.
    """

    def __init__(self, user: str, topics: Iterable[Topic] = TOPICS, runs: Iterable[str] = ()):
        self.channels: frozenset[_Channel] = frozenset(
            (topic, user if topic == "abort" else "") for topic in topics
        )
        self._keys = frozenset((topic, run) for topic, _ in self.channels for run in runs)
        self._pending: dict[_Key, bytes]
        self._has_news = asyncio.Event()
        self.begin()

    def put(self, news: _News) -> None:
        """Keep what it listens to of *news*, which are events by channel."""
        for channel, events in news.items():
            if channel not in self.channels:
                continue
            if self._keys:
                events = {key: events[key] for key in self._keys & events.keys()}
            self._pending.update(events)
        if len(self._pending) > PENDING_MAX:
            self.begin()
        if self._pending:
            self._has_news.set()

    def begin(self) -> None:
        """Say that anything may have changed, instead of all that waits."""
        self._pending = {("hello", ""): _HELLO}
        self._has_news.set()

    def keep_alive(self) -> None:
        """Send something even if there is nothing to say."""
        self._pending.setdefault(("", ""), _KEEP_ALIVE)
        self._has_news.set()

    async def take(self) -> bytes:
        """Wait for news and return them."""
        await self._has_news.wait()
        self._has_news.clear()
        taken, self._pending = self._pending, {}
        return b"".join(taken.values())


class Live:
    """All who listen; ``publish`` may be called from any thread, the rest on the event loop."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._loop: asyncio.AbstractEventLoop
        """The server's one; known when somebody listens."""
        self._closed = False
        self._wanted: frozenset[_Channel] = frozenset()
        """What anybody listens to."""
        self._changes: deque[tuple[_Channel, str, str]] = deque()
        """Of each its channel, run and reason."""
        self._due = False
        self._next_keep_alive: asyncio.TimerHandle | None = None
        self.relay: Callable[[Topic, str, str, str], None] | None = None
        """What tells other servers, where there may be some (relay.py)."""

    def publish(self, topic: Topic, run: str, owner: str = "", reason: str = "") -> None:
        """Tell who listens, here and at other servers of the store, that *run* changed.

        An abort goes to the run's *owner* at once; the other topics to everybody, within
        PAUSE_S and only once in it.  Never waits; costs one look-up where nobody listens to it.
        """
        self.deliver(topic, run, owner, reason)
        if self.relay is not None:
            self.relay(topic, run, owner, reason)

    def deliver(self, topic: Topic, run: str, owner: str, reason: str) -> None:
        """Tell who listens here; otherwise as publish."""
        channel = (topic, owner)
        if channel not in self._wanted:
            return
        self._changes.append((channel, run, reason))
        if topic == "abort":
            self._loop.call_soon_threadsafe(self._deliver)
        elif not self._due:
            # Two threads may both come here: two deliveries, of which one finds nothing.
            self._due = True
            self._loop.call_soon_threadsafe(self._loop.call_later, PAUSE_S, self._deliver)

    def missed(self) -> None:
        """Tell all who listen that anything may have changed; from any thread."""
        if self._wanted:
            self._loop.call_soon_threadsafe(self._forget)

    def admit(self, listener: Listener) -> AsyncIterator[bytes]:
        """Return the stream of *listener*, which begins when it is first asked for bytes.

        Refuses (503) where LISTENERS_MAX listen already, and in a server that stops.
        """
        if self._closed or len(self._listeners) >= LISTENERS_MAX:
            why = "the server stops" if self._closed else f"{LISTENERS_MAX} listen already"
            raise Refused(503, f"{why}; listen later", {"Retry-After": "10"})
        return self._stream(listener)

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    def close(self) -> None:
        """End all streams; nobody is admitted any more."""
        self._closed = True
        for listener in self._listeners:
            listener.keep_alive()

    async def _stream(self, listener: Listener) -> AsyncIterator[bytes]:
        self._loop = asyncio.get_running_loop()
        self._listeners.add(listener)
        self._count()
        if self._next_keep_alive is None:
            self._keep_alive()
        # At random, so that those who came together after a restart do not always.
        ends = self._loop.time() + random.uniform(0.5, 1.0) * LIFE_S
        try:
            while not self._closed and self._loop.time() < ends:
                yield await listener.take()
        finally:
            self._listeners.discard(listener)
            self._count()

    def _count(self) -> None:
        channels = (listener.channels for listener in self._listeners)
        self._wanted = frozenset().union(*channels)

    def _deliver(self) -> None:
        # First, so that a change which comes too late for this delivery sees to the next.
        self._due = False
        news: _News = defaultdict(dict)
        while self._changes:
            channel, run, reason = self._changes.popleft()
            topic, _ = channel
            if (topic, run) not in news[channel]:
                content = {"run": run, "reason": reason} if reason else {"run": run}
                news[channel][topic, run] = _encode(topic, content)
        for listener in self._listeners:
            listener.put(news)

    def _forget(self) -> None:
        for listener in self._listeners:
            listener.begin()

    def _keep_alive(self) -> None:
        """Have every stream say something now and then; one timer serves all."""
        self._next_keep_alive = None
        for listener in self._listeners:
            listener.keep_alive()
        if self._listeners:
            self._next_keep_alive = self._loop.call_later(wire.KEEP_ALIVE_S, self._keep_alive)
