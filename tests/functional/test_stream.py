"""The stream of events: an idle run hears of an abort at once, and a page of every change."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import requests
from fix_node import Node, eventually
from fix_proxy import Proxy
from fix_server import Server

from simvue import wire
from simvue.exception import ServerError, UnauthorisedError
from simvue.remote import Remote
from simvue.server.auth import digest, new_token
from simvue.server.store import open_store

ABORT_S_MAX = 3.0
"""What an idle run waits to hear of an abort; by heartbeats alone it is up to a minute."""

IDLE = """
def told(run):
    print("> aborted", run.name, flush=True)

run = Run(abort_callback=told)
run.config(abort_on_alert="ignore")
run.init({name!r})
print(">", run.id, flush=True)
sys.stdin.readline()
run.close()
"""


class Idle:
    """A run that logs nothing until it is told to end."""

    def __init__(self, node: Node, name: str) -> None:
        self.process = node.start(IDLE.format(name=name))
        self.run = self.read()

    def read(self) -> str:
        """Return the next line of its own that it prints."""
        assert self.process.stdout is not None
        return next(own_lines(self.process.stdout))

    def end(self) -> list[str]:
        """Let it end; return what else it printed."""
        output, _ = self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0, output
        return list(own_lines(output.splitlines()))


def own_lines(lines: Iterable[str]) -> Iterator[str]:
    return (line[2:].strip() for line in lines if line.startswith("> "))


def seconds(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


# ---- Shipper and run -----------------------------------------------------------------------


def test_an_idle_run_hears_of_an_abort_at_once_and_its_neighbour_does_not(node: Node) -> None:
    aborted, other = Idle(node, "to be aborted"), Idle(node, "left alone")
    assert len(node.shippers()) == 1
    node.server.put(f"/runs/{aborted.run}/abort", {"reason": "enough"})
    heard: list[str] = []
    assert seconds(lambda: heard.append(aborted.read())) < ABORT_S_MAX
    assert heard == ["aborted to be aborted"]
    assert aborted.end() == []
    assert other.end() == []


def test_an_abort_is_heard_from_a_server_that_was_restarted(fresh_node: Node) -> None:
    idle = Idle(fresh_node, "through a restart")
    fresh_node.server.stop()
    fresh_node.server.restart()
    fresh_node.server.put(f"/runs/{idle.run}/abort", {"reason": "enough"})
    heard: list[str] = []
    # The stream is opened again after a pause that grew while the server was away.
    assert seconds(lambda: heard.append(idle.read())) < 20
    assert heard == ["aborted through a restart"]
    idle.end()


def test_an_abort_while_the_stream_was_cut_is_heard_when_it_is_back(
    proxied: tuple[Node, Proxy],
) -> None:
    node, proxy = proxied
    proxy.passes_streams = False
    idle = Idle(node, "cut off")
    eventually(lambda: proxy.streams, "the shipper asks for a stream")
    node.server.put(f"/runs/{idle.run}/abort", {"reason": "enough"})
    proxy.passes_streams = True
    heard: list[str] = []
    assert seconds(lambda: heard.append(idle.read())) < 20
    assert heard == ["aborted cut off"]
    idle.end()


def test_an_abort_finds_a_run_that_the_server_named_itself(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    offer(proxy, set(wire.FEATURES) - {"run-id"})
    idle = Idle(node, "named by the server")
    run = node.run_id("named by the server")
    node.server.put(f"/runs/{run}/abort", {"reason": "enough"})
    heard: list[str] = []
    assert seconds(lambda: heard.append(idle.read())) < ABORT_S_MAX
    assert heard == ["aborted named by the server"]
    idle.end()


def test_a_server_that_offers_no_stream_is_not_asked_for_one(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    offer(proxy, set(wire.FEATURES) - {"live"})
    Idle(node, "without a stream").end()
    assert proxy.streams == 0


def test_an_open_stream_keeps_no_shipper(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    idle = Idle(node, "soon over")
    eventually(lambda: proxy.streams, "the shipper asks for a stream")
    idle.end()
    eventually(lambda: not node.shippers(), "the shipper leaves")


def offer(proxy: Proxy, features: set[str]) -> None:
    """Have the server behind *proxy* list these *features* alone."""
    about = json.dumps({"version": "1.0.0", "features": sorted(features)}).encode()
    proxy.only = "/api/version"
    proxy.say(10**6, 200, body=about)


# ---- Server --------------------------------------------------------------------------------


def listen(server: Server, token: str = "", **parameters: str) -> Iterator[tuple[str, Any]]:
    """Open a stream and return the events that follow its ``hello``."""
    events = Remote(server.url, token or server.token).listen("/live", parameters)
    assert next(events) == ("hello", {})
    return events


def test_a_page_hears_of_every_kind_of_change(server: Server) -> None:
    run = server.new_run()
    events = listen(server, runs=run)
    row = {"values": {"a": 1.0}, "time": 0, "timestamp": "2026-01-01T00:00:00.000001", "step": 0}
    server.send_rows(run, [row])
    assert next(events) == ("rows", {"run": run})
    server.send("/events", {"run": run, "events": [{"message": "m"}]})
    assert next(events) == ("rows", {"run": run})
    for path, change in (("", {"status": "completed"}), ("/starred", {"starred": True})):
        server.put(f"/runs/{run}{path}", change)
        assert next(events) == ("run", {"run": run})
    server.put(f"/runs/{run}/abort", {"reason": "two\nlines"})
    both = [("abort", {"run": run, "reason": "two\nlines"}), ("run", {"run": run})]
    assert sorted(itertools.islice(events, 2)) == both
    server.delete(f"/runs/{run}")
    assert next(events) == ("run", {"run": run})


def test_a_new_run_and_one_that_fell_silent_are_changes(server: Server) -> None:
    events = listen(server, topics="run")
    run = server.new_run(heartbeat_timeout=1)
    for _ in ("created", "lost"):
        while next(events) != ("run", {"run": run}):
            pass  # Of other tests' runs, some become lost as well.
    assert server.get(f"/runs/{run}")["status"] == "lost"


def test_aborts_of_other_users_are_not_heard(fresh_server: Server) -> None:
    fresh_server.stop()
    store = open_store(str(fresh_server.data))
    text, token = new_token("bob", "default", time.time())
    store.add_token(digest(text), token)
    store.close()
    fresh_server.restart()
    mine = fresh_server.new_run()
    headers = {"Authorization": f"Bearer {text}"}
    his = fresh_server.ask(
        "POST", "/runs", json={"folder": "/tests", "name": "his"}, headers=headers
    ).json()["id"]
    my_events = listen(fresh_server, topics="abort")
    his_events = listen(fresh_server, text, topics="abort")
    for run in (his, mine):
        fresh_server.put(f"/runs/{run}/abort")
    assert next(my_events) == ("abort", {"run": mine})
    assert next(his_events) == ("abort", {"run": his})


def test_the_stream_is_refused_without_a_token(server: Server) -> None:
    assert requests.get(f"{server.url}/api/live", timeout=30).status_code == 401
    with pytest.raises(UnauthorisedError):
        next(Remote(server.url, "wrong").listen("/live", {}))


def test_the_stream_comes_with_a_browsers_cookie(server: Server) -> None:
    with requests.Session() as browser:
        browser.get(server.url, params={"token": server.token}, timeout=30)
        with browser.get(f"{server.url}/api/live", stream=True, timeout=30) as stream:
            assert stream.status_code == 200
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert "event: hello" in next(stream.iter_content(256)).decode()


@pytest.mark.parametrize("parameters", [{"topics": "run,weather"}, {"runs": "x"}])
def test_what_cannot_be_listened_to_is_refused(server: Server, parameters: dict[str, str]) -> None:
    with pytest.raises(ServerError) as caught:
        listen(server, **parameters)
    assert caught.value.status == 422


def test_a_server_with_open_streams_stops_at_once(fresh_server: Server) -> None:
    listeners = []
    for _ in range(64):
        listener = socket.create_connection(("127.0.0.1", fresh_server.port), timeout=30)
        listener.sendall(
            b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % fresh_server.token.encode()
        )
        received = b""
        while b"event: hello" not in received:
            received += listener.recv(4096)
        listeners.append(listener)
    status: list[int] = []
    # Requests in flight are otherwise given ten seconds.
    assert seconds(lambda: status.append(fresh_server.stop())) < 2
    assert status == [0]
    assert fresh_server.log_text() == ""
    for listener in listeners:
        rest = b"".join(iter(lambda listener=listener: listener.recv(4096), b""))
        assert rest.endswith(b"0\r\n\r\n"), "the stream ends as a whole answer does"
        listener.close()
