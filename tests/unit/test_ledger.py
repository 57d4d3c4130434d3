"""What is written down of a request, and how loudly."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from simvue.server import ledger, logs
from simvue.server.ledger import Ledger

LOGGER = "simvue.server.ledger"


def ask(status: int, headers: list[tuple[bytes, bytes]] | None = None) -> tuple[Any, str]:
    """Have an application answer *status*; return the head it sent, and the id it saw."""
    sent: list[Any] = []
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(logs.REQUEST.get())
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("there is no body")

    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/a\nb",
        "raw_path": b"/a%0Ab",
        "query_string": b"token=secret",
        "headers": headers or [],
    }
    asyncio.run(Ledger(app)(scope, receive, send))
    return sent[0], seen[0]


@pytest.mark.parametrize(
    ("status", "slow", "level"),
    [
        (200, False, logging.DEBUG),
        (200, True, logging.INFO),
        (404, False, logging.INFO),
        (500, False, logging.WARNING),
        (503, True, logging.WARNING),
    ],
)
def test_a_request_is_told_as_loudly_as_it_deserves(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    slow: bool,
    level: int,
) -> None:
    monkeypatch.setattr(ledger, "SLOW_S", -1.0 if slow else 60.0)
    with caplog.at_level(logging.DEBUG, LOGGER):
        ask(status)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"GET /a%0Ab answered {status}")
    assert "secret" not in str(vars(record))


def test_the_answer_and_everything_below_know_the_id_of_the_request() -> None:
    head, seen = ask(200, [(b"x-request-id", b"of-a-proxy")])
    assert (b"x-request-id", b"of-a-proxy") in head["headers"]
    assert seen == "of-a-proxy"


@pytest.mark.parametrize("given", [b"", b"a b", b"a\nb", b"x" * 65, "é".encode()])
def test_an_id_that_is_none_is_replaced(given: bytes) -> None:
    head, seen = ask(200, [(b"x-request-id", given)])
    [(_, told)] = head["headers"]
    assert told == seen.encode()
    assert len(told) == 16


def test_what_is_no_request_passes() -> None:
    passed = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    asyncio.run(Ledger(app)({"type": "lifespan"}, nothing, nothing))
    assert passed == ["lifespan"]
