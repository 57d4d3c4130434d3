"""Live: who hears what, how often, and what becomes of those who do not listen fast enough."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from simvue import wire
from simvue.server import live as module
from simvue.server.forms import Refused
from simvue.server.live import PENDING_MAX, TOPICS, Listener, Live, Topic

A, B = "a" * 22, "b" * 22


class Reader:
    """Takes what is sent to one listener and reads it as a browser would."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.stream = stream
        self._events: list[tuple[str, dict[str, Any]]] = []

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Return the name and content of the next event; StopAsyncIteration at the end."""
        while not self._events:
            for block in (await anext(self.stream)).decode("ascii").split("\n\n"):
                fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                if "event" in fields:
                    self._events.append((fields["event"], json.loads(fields["data"])))
        return self._events.pop(0)

    async def end(self) -> None:
        """Read on until the stream ends."""
        async for _ in self.stream:
            pass


async def open_stream(
    live: Live, user: str = "ann", topics: tuple[Topic, ...] = TOPICS, runs: tuple[str, ...] = ()
) -> Reader:
    reader = Reader(live.admit(Listener(user, topics, runs)))
    assert await reader.next() == ("hello", {})
    return reader


def test_each_topic_says_which_run_it_is_about() -> None:
    async def story() -> None:
        live = Live()
        reader = await open_stream(live)
        live.publish("run", A)
        assert await reader.next() == ("run", {"run": A})
        live.publish("rows", A)
        assert await reader.next() == ("rows", {"run": A})
        live.publish("abort", A, owner="ann", reason="two\n\nlines: é")
        assert await reader.next() == ("abort", {"run": A, "reason": "two\n\nlines: é"})

    asyncio.run(story())


def test_an_abort_is_heard_by_the_owner_of_the_run_alone() -> None:
    async def story() -> None:
        live = Live()
        ann, bob = await open_stream(live), await open_stream(live, "bob")
        live.publish("abort", A, owner="bob")
        live.publish("abort", B, owner="ann")
        assert await ann.next() == ("abort", {"run": B})
        assert await bob.next() == ("abort", {"run": A})

    asyncio.run(story())


def test_topics_and_runs_choose_what_is_heard() -> None:
    async def story() -> None:
        live = Live()
        some = await open_stream(live, topics=("rows",), runs=(B,))
        live.publish("rows", A)
        live.publish("run", B)
        live.publish("abort", B, owner="ann")
        live.publish("rows", B)
        assert await some.next() == ("rows", {"run": B})

    asyncio.run(story())


def test_news_of_one_run_within_a_pause_are_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        live = Live()
        reader = await open_stream(live)

        def publish() -> None:
            for _ in range(1000):
                live.publish("rows", A)

        await asyncio.gather(*(asyncio.to_thread(publish) for _ in range(4)))
        live.publish("run", B)
        assert await reader.next() == ("rows", {"run": A})
        assert await reader.next() == ("run", {"run": B})

    # However slow this machine is, all is published within it.
    monkeypatch.setattr(module, "PAUSE_S", 1.0)
    asyncio.run(story())


def test_a_slow_listener_is_told_once_that_it_missed_much() -> None:
    """It holds up neither who publishes nor who else listens, and a bounded memory."""

    async def story() -> None:
        live = Live()
        slow, fast = await open_stream(live), await open_stream(live)
        runs = [f"{number:022}" for number in range(PENDING_MAX + 1)]
        # In two parts, as one would make either of them forget.
        for part in (runs[:PENDING_MAX], runs[PENDING_MAX:]):
            for run in part:
                live.publish("rows", run)
            assert [(await fast.next())[1]["run"] for _ in part] == part
        assert await slow.next() == ("hello", {})
        live.publish("rows", A)
        assert await slow.next() == ("rows", {"run": A})

    asyncio.run(story())


def test_what_nobody_listens_to_is_not_kept() -> None:
    async def story() -> None:
        live = Live()
        live.publish("rows", A)
        reader = await open_stream(live, topics=("run",))
        live.publish("rows", A)
        live.publish("run", B)
        assert await reader.next() == ("run", {"run": B})
        live.close()
        await reader.end()
        late = Live()
        late.publish("run", A)

    asyncio.run(story())


def test_a_quiet_stream_says_something_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        live = Live()
        readers = [await open_stream(live) for _ in range(2)]
        for reader in readers:
            assert [await anext(reader.stream) for _ in range(3)] == [b":\n\n"] * 3

    monkeypatch.setattr(wire, "KEEP_ALIVE_S", 0.01)
    asyncio.run(story())


def test_a_stream_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a token that was taken away hears nothing more."""

    async def story() -> None:
        await (await open_stream(Live())).end()

    monkeypatch.setattr(wire, "KEEP_ALIVE_S", 0.01)
    monkeypatch.setattr(module, "LIFE_S", 0.05)
    asyncio.run(story())


def test_a_server_that_stops_ends_all_streams_and_admits_no_more() -> None:
    async def story() -> None:
        live = Live()
        readers = [await open_stream(live) for _ in range(64)]
        live.close()
        for reader in readers:
            await reader.end()
        with pytest.raises(Refused, match="stops"):
            live.admit(Listener("ann"))

    asyncio.run(story())


def test_one_listener_too_many_is_asked_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        live = Live()
        reader = await open_stream(live)
        with pytest.raises(Refused, match="1 listen already") as caught:
            live.admit(Listener("ann"))
        assert caught.value.status == 503
        await reader.stream.aclose()  # type: ignore[attr-defined]
        await open_stream(live)

    monkeypatch.setattr(module, "LISTENERS_MAX", 1)
    asyncio.run(story())
