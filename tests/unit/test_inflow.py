"""What bounds the memory that bodies on their way in may hold."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from simvue import wire
from simvue.server.inflow import Inflow


class Exchange:
    """One request to an ASGI application, with its body handed out by the test."""

    def __init__(self, length: int | None) -> None:
        header = (
            (b"transfer-encoding", b"chunked")
            if length is None
            else (b"content-length", str(length).encode())
        )
        self.scope: Any = {"type": "http", "path": "/api/metrics", "headers": [header]}
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def chunk(self, size: int, more: bool) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": bytes(size), "more_body": more})

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


async def read_and_answer(scope: Any, receive: Any, send: Any) -> None:
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = json.dumps(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def begin(inflow: Inflow, exchange: Exchange) -> asyncio.Task[None]:
    task = asyncio.create_task(inflow(exchange.scope, exchange.receive, exchange.send))
    await asyncio.sleep(0)
    return task


class TestInflow:
    def test_more_than_fits_is_refused_before_it_is_read_and_fits_later(self) -> None:
        async def story() -> None:
            inflow = Inflow(read_and_answer, waiting_max=100)
            first, second, third = Exchange(60), Exchange(60), Exchange(60)
            running = await begin(inflow, first)
            await (await begin(inflow, second))
            assert second.status == 503
            assert second.headers[b"retry-after"] == b"1"
            first.chunk(60, more=False)
            await running
            assert first.status == 200
            third.chunk(60, more=False)
            await (await begin(inflow, third))
            assert third.status == 200

        asyncio.run(story())

    @pytest.mark.parametrize("length", [wire.BODY_SIZE_MAX * 2, None])
    def test_one_that_is_too_large_is_413_announced_or_not(self, length: int | None) -> None:
        async def story() -> None:
            exchange = Exchange(length)
            exchange.chunk(wire.BODY_SIZE_MAX, more=True)
            exchange.chunk(wire.BODY_SIZE_MAX, more=True)
            await (await begin(Inflow(read_and_answer), exchange))
            assert exchange.status == 413

        asyncio.run(story())

    def test_chunks_are_counted_as_they_come(self) -> None:
        async def story() -> None:
            inflow = Inflow(read_and_answer, waiting_max=100)
            first, second = Exchange(None), Exchange(None)
            first.chunk(80, more=True)
            running = await begin(inflow, first)
            await asyncio.sleep(0)
            second.chunk(21, more=True)
            await (await begin(inflow, second))
            assert second.status == 503
            first.chunk(20, more=False)
            await running
            assert first.status == 200

        asyncio.run(story())

    def test_a_silent_sender_gives_its_place_up(self) -> None:
        async def story() -> None:
            inflow = Inflow(read_and_answer, waiting_max=100, silence=0.05)
            silent, other = Exchange(100), Exchange(100)
            silent.chunk(1, more=True)
            await (await begin(inflow, silent))
            assert silent.status == 408
            assert silent.headers[b"connection"] == b"close"
            other.chunk(100, more=False)
            await (await begin(inflow, other))
            assert other.status == 200

        asyncio.run(story())

    def test_a_cancelled_request_stays_cancelled_and_gives_its_place_up(self) -> None:
        async def story() -> None:
            inflow = Inflow(read_and_answer, waiting_max=100)
            first, second = Exchange(100), Exchange(100)
            running = await begin(inflow, first)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert first.sent == []
            second.chunk(100, more=False)
            await (await begin(inflow, second))
            assert second.status == 200

        asyncio.run(story())

    @pytest.mark.parametrize("length", [1 << 40, None])
    def test_a_file_is_not_counted_but_may_not_be_silent(self, length: int | None) -> None:
        """It goes to the disk as it comes (routes/files.py)."""

        async def story() -> None:
            inflow = Inflow(read_and_answer, waiting_max=100, silence=0.05)
            file, silent = Exchange(length), Exchange(length)
            file.scope["path"] = silent.scope["path"] = "/api/files/x"
            file.chunk(1000, more=True)
            file.chunk(1000, more=False)
            await (await begin(inflow, file))
            assert file.status == 200
            silent.chunk(1000, more=True)
            await (await begin(inflow, silent))
            assert silent.status == 408

        asyncio.run(story())
