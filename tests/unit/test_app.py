"""The application without a socket: who touches the store, and what its troubles become."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgpack
import pytest

from simvue import wire
from simvue.exception import StoreError
from simvue.server.app import make_app
from simvue.server.auth import Hosts, digest, new_token
from simvue.server.live import Live
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
        self.app = make_app(store, Live(), Hosts("127.0.0.1"), "cookie")

    def _noted(self, name: str, method: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append((name, threading.get_ident()))
            return method(*arguments, **keywords)

        return call

    async def ask(self, method: str, path: str, body: bytes = b"", query: str = "") -> Any:
        """Send one request; return (status, headers, body)."""
        sent: list[Any] = []
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        answered = asyncio.Event()

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

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


async def _use_files(good: Callable[..., Awaitable[bytes]], run: str) -> None:
    """Ask everything that concerns artifacts and storages."""
    content = b"the bytes"
    checksum = hashlib.sha256(content).hexdigest()
    form = {"name": "n", "size": len(content), "checksum": checksum}
    made = json.loads(await good("POST", "/artifacts", json.dumps(form).encode()))
    place = f"/artifacts/{made['id']}"
    await good("PUT", *_parted(made["url"], content))
    await good("PUT", place, b'{"uploaded": true}')
    await good("PUT", f"/runs/{run}{place}", b'{"category": "code"}')
    await good("GET", f"/runs/{run}{place}")
    for path in ("/artifacts", f"/runs/{run}/artifacts", f"{place}/lineage"):
        await good("GET", path)
    found = json.loads(await good("GET", place))
    assert await good("GET", *_parted(found["url"], b"")) == content
    await good("DELETE", place)
    made = json.loads(await good("POST", "/storage", b'{"name": "n", "backend": "File"}'))
    await good("GET", "/storage")
    await good("PUT", f"/storage/{made['id']}", b'{"name": "m"}')
    await good("GET", f"/storage/{made['id']}")
    await good("DELETE", f"/storage/{made['id']}")


def _parted(url: str, body: bytes) -> tuple[str, bytes, str]:
    parts = urlsplit(url)
    return parts.path.removeprefix("/api"), body, parts.query


async def _use_grids(good: Callable[..., Awaitable[bytes]], run: str) -> None:
    """Ask everything that concerns grids and arrays."""
    form = b'{"name": "n", "grid": [[1, 2]], "labels": ["x"]}'
    grid, other = [json.loads(await good("POST", "/grids", form))["id"] for _ in range(2)]
    row = {key: ROW[key] for key in ("time", "timestamp", "step")}
    array = {**row, "array": [1.0, 2.0], "grid": grid, "metric": "a"}
    await good("PUT", f"/runs/{run}/grids/{grid}", b'{"metric": "a"}')
    await good("POST", f"/runs/{run}/metrics", msgpack.packb([array]))
    for path in ("/grids", f"/grids/{grid}", f"/runs/{run}/grids"):
        await good("GET", path)
    for kind in ("values", "span"):
        await good("GET", f"/runs/{run}/metrics/a/{kind}")
    await good("DELETE", f"/grids/{other}")


async def _use_alerts(good: Callable[..., Awaitable[bytes]], run: str) -> None:
    """Ask everything that concerns alerts."""
    form = b'{"name": "n", "source": "user"}'
    place = f"/alerts/{json.loads(await good('POST', '/alerts', form))['id']}"
    await good("PUT", place, b'{"enabled": false}')
    await good("GET", place)
    await good("GET", "/alerts")
    await good("PUT", f"{place}/status/{run}", b'{"status": "ok"}')
    await good("GET", f"{place}/status/{run}")
    await good("DELETE", place)


async def _use_users(good: Callable[..., Awaitable[bytes]]) -> None:
    """Ask everything that concerns tenants, users and tokens."""
    tenant = json.loads(await good("POST", "/tenants", b'{"name": "n"}'))["id"]
    form = json.dumps({"user": {"username": "n"}, "tenant": tenant}).encode()
    user = json.loads(await good("POST", "/users", form))["id"]
    for place in (f"/users/{user}", f"/tenants/{tenant}"):
        await good("PUT", place, b'{"is_enabled": false}')
        await good("GET", place)
    for path in ("/users", "/tenants", "/tokens"):
        await good("GET", path)
    await good("GET", "/stats", b"", "single=False")
    token = json.loads(await good("POST", "/tokens", b"{}"))["id"]
    for place in (f"/tokens/{token}", f"/users/{user}", f"/tenants/{tenant}"):
        await good("DELETE", place)


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
        await good("POST", "/runs", b'[{"folder": "/f"}]')
        await good("POST", "/metrics", body)
        await good("POST", "/events", events)
        for path in ("", "/abort", "/processes", "/writers"):
            await good("GET", f"/runs/{run}{path}")
        await good("PUT", f"/runs/{run}", b'{"status": "running"}')
        await good("PUT", f"/runs/{run}/starred", b'{"starred": true}')
        await good("PUT", f"/runs/{run}/heartbeat")
        await good("PUT", f"/runs/{run}/abort", b'{"reason": "r"}')
        for most in (0, 100):
            await good("GET", f"/runs/{run}/series", b"", f'metrics=["a"]&max_points={most}')
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
        await _use_files(good, run)
        await _use_grids(good, run)
        await _use_alerts(good, run)
        await _use_users(good)
        await good("DELETE", f"/runs/{run}")
        return threading.get_ident()

    loop_thread = asyncio.run(story())
    # add_token came from the fixture; the others belong to the life of the process.
    called = {name for name, _ in speaker.calls} - {"add_token"}
    elsewhere = {"add_token", "mark_lost", "delete_expired", "fold", "pack", "tidy"}
    elsewhere |= {"secret", "close", "hear", "tell"}
    elsewhere |= {"watched_alerts", "recent_values", "find_event"}
    assert called == set(Store.__abstractmethods__) - elsewhere
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


def test_a_store_that_knows_no_token_now_refuses_nobody_for_good(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 401 or a 500 would end an official client's run."""

    def fail(*_: Any) -> Any:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(speaker.store, "find_token", fail)
    status, headers, _ = asyncio.run(speaker.ask("GET", f"/runs/{wire.new_id()}/abort"))
    assert (status, headers[b"retry-after"]) == (503, b"10")


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("POST", "/metrics", "add_metrics"),
        ("POST", "/events", "add_events"),
        ("PUT", "/runs/{run}/heartbeat", "beat"),
        ("GET", "/runs/{run}/abort", "get_run"),
    ],
)
def test_a_fault_of_ours_is_no_500_where_runs_live(
    speaker: Speaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    call: str,
) -> None:
    """At a 500 official clients give up on a run's rows or its heartbeat, at a 503 they wait."""

    def fail(*_: Any) -> Any:
        raise RuntimeError("an inner secret")

    monkeypatch.setattr(speaker.store, call, fail)
    run = wire.new_id()
    body = msgpack.packb(
        {"run": run, path[1:]: [ROW if call == "add_metrics" else {"message": ""}]}
    )
    status, headers, content = asyncio.run(speaker.ask(method, path.format(run=run), body))
    assert (status, headers[b"retry-after"]) == (503, b"10")
    assert b"secret" not in content
    assert "an inner secret" in caplog.text


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
