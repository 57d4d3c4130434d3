"""The application without a socket: who touches the store, and what its troubles become."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from simvue import wire
from simvue.exception import StoreError
from simvue.server.app import make_app
from simvue.server.auth import Hosts, digest, new_token
from simvue.server.store import Busy, Store, open_store

ROW = {"values": {"a": 1.0}, "time": 0, "timestamp": "2026-01-01T00:00:00.000001", "step": 0}


class Speaker:
    """Speaks ASGI to the application over a store that notes who calls it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls: list[tuple[str, int]] = []
        for name, method in inspect.getmembers(store, inspect.ismethod):
            if name in Store.__abstractmethods__:
                setattr(store, name, self._noted(name, method))
        self.text, token = new_token("admin", "default", time.time())
        store.add_token(digest(self.text), token)
        self.app = make_app(store, Hosts("127.0.0.1"), "cookie")

    def _noted(self, name: str, method: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append((name, threading.get_ident()))
            return method(*arguments, **keywords)

        return call

    async def ask(self, method: str, path: str, body: bytes = b"", query: str = "") -> Any:
        """Send one request; return (status, headers, body)."""
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": f"/api{path}",
            "raw_path": f"/api{path}".encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 2),
            "headers": [
                (b"host", b"localhost"),
                (b"authorization", f"Bearer {self.text}".encode()),
                (b"content-length", str(len(body)).encode()),
            ],
            "state": {},
        }
        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), content


@pytest.fixture
def speaker(tmp_path: Path) -> Iterator[Speaker]:
    store = open_store(str(tmp_path))
    yield Speaker(store)
    store.close()


def test_the_event_loop_never_touches_the_store(speaker: Speaker) -> None:
    run = wire.new_id()
    body = msgpack.packb({"run": run, "metrics": [ROW]})
    events = msgpack.packb({"run": run, "events": [{"message": "m"}]})
    span = "timestamp_begin=2026-01-01&timestamp_end=2026-01-02&window=3600"

    async def story() -> int:
        async def good(*request: Any) -> Any:
            status, _, content = await speaker.ask(*request)
            assert status == 200, (request, content)
            return content

        await good("POST", "/runs", json.dumps({"id": run, "folder": "/f", "tags": ["t"]}).encode())
        await good("POST", "/metrics", body)
        await good("POST", "/events", events)
        for path in ("", "/abort", "/writers"):
            await good("GET", f"/runs/{run}{path}")
        await good("PUT", f"/runs/{run}", b'{"status": "running"}')
        await good("PUT", f"/runs/{run}/starred", b'{"starred": true}')
        await good("PUT", f"/runs/{run}/heartbeat")
        await good("PUT", f"/runs/{run}/abort", b'{"reason": "r"}')
        await good("GET", f"/runs/{run}/series", b"", 'metrics=["a"]')
        await good("GET", "/metrics", b"", f'runs=["{run}"]&metrics=["a"]')
        await good("GET", "/metrics/names", b"", f'runs=["{run}"]')
        await good("GET", "/metrics/span", b"", f'runs=["{run}"]')
        await good("GET", "/events", b"", f"run={run}")
        await good("GET", "/events/histogram", b"", f"run={run}&{span}")
        for path in ("/runs", "/stats", "/whoami", "/version"):
            await good("GET", path)
        for kind, change in (("folders", b'{"description": "d"}'), ("tags", b'{"colour": "red"}')):
            page = json.loads(await good("GET", f"/{kind}"))
            place = f"/{kind}/{page['data'][-1]['id']}"
            await good("GET", place)
            await good("PUT", place, change)
        await good("POST", "/folders", b'{"path": "/g"}')
        await good("POST", "/tags", b'{"name": "u"}')
        folders = json.loads(await good("GET", "/folders", b"", 'filters=["path == /g"]'))
        await good("DELETE", f"/folders/{folders['data'][0]['id']}")
        await good("DELETE", f"/tags/{page['data'][-1]['id']}")
        await good("DELETE", f"/runs/{run}")
        return threading.get_ident()

    loop_thread = asyncio.run(story())
    # add_token came from the fixture; mark_lost and close belong to the life of the process.
    called = {name for name, _ in speaker.calls} - {"add_token"}
    assert called == set(Store.__abstractmethods__) - {"add_token", "mark_lost", "close"}
    asked = [(name, thread) for name, thread in speaker.calls if name != "add_token"]
    assert [name for name, thread in asked if thread == loop_thread] == []


@pytest.mark.parametrize(
    ("trouble", "status", "wait"),
    [(Busy("full"), 503, b"1"), (StoreError("the disk is full"), 503, b"10")],
    ids=repr,
)
def test_a_store_that_cannot_write_is_worth_another_try(
    speaker: Speaker,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Exception,
    status: int,
    wait: bytes,
) -> None:
    def fail(*_: Any) -> Any:
        raise trouble

    monkeypatch.setattr(speaker.store, "add_metrics", fail)
    body = msgpack.packb({"run": wire.new_id(), "metrics": [ROW]})
    answered, headers, content = asyncio.run(speaker.ask("POST", "/metrics", body))
    assert answered == status
    assert headers[b"retry-after"] == wait
    assert json.loads(content)["detail"]


def test_a_fault_of_ours_is_logged_and_not_shown(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("an inner secret")

    monkeypatch.setattr(speaker.store, "get_run", fail)
    status, _, content = asyncio.run(speaker.ask("GET", f"/runs/{wire.new_id()}"))
    assert status == 500
    assert b"secret" not in content
    assert "an inner secret" in caplog.text
