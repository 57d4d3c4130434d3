"""Events in, out and counted (wire.md section 8.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fix_server import Server, good

from simvue import wire


def at(second: float) -> str:
    return wire.format_timestamp(1_767_225_600_000_000 + round(second * 1_000_000))


def event(message: str, second: float = 0.000001, level: str | None = "info") -> dict[str, Any]:
    return {"message": message, "timestamp": at(second), "log_level": level}


def send(server: Server, run: str, events: list[dict[str, Any]], **headers: str) -> Any:
    return good(server.send("/events", {"run": run, "events": events}, headers))


def test_events_come_back_oldest_first_with_three_keys(server: Server) -> None:
    run = server.new_run()
    said = [event(f"message {i}", i + 0.5, level) for i, level in enumerate(wire.LOG_LEVELS)]
    assert send(server, run, said) == {"stored": 5, "abort": False}
    assert server.get("/events", run=run, start=0, count=0) == {"count": 5, "data": said}
    page = server.get("/events", run=run, start=1, count=2)
    assert page == {"count": 5, "data": said[1:3]}


def test_a_missing_level_is_info_and_odd_times_are_read(server: Server) -> None:
    run = server.new_run()
    send(
        server,
        run,
        [
            {"message": "a", "timestamp": "2026-01-01 00:00:01", "log_level": None},
            {"message": "b", "timestamp": "2026-01-01T02:00:02.500000+02:00"},
            {"message": "c", "timestamp": "2026-01-01T00:00:03Z", "log_level": "WARNING"},
        ],
    )
    assert server.get("/events", run=run)["data"] == [
        {"message": "a", "timestamp": "2026-01-01T00:00:01.000000", "log_level": "info"},
        {"message": "b", "timestamp": "2026-01-01T00:00:02.500000", "log_level": "info"},
        {"message": "c", "timestamp": "2026-01-01T00:00:03.000000", "log_level": "warning"},
    ]


def test_an_event_without_a_time_gets_the_servers(server: Server) -> None:
    run = server.new_run()
    send(server, run, [{"message": "now"}])
    (found,) = server.get("/events", run=run)["data"]
    assert found["timestamp"] >= server.get(f"/runs/{run}")["created"]


def test_events_sent_twice_are_stored_once(server: Server) -> None:
    run, writer = server.new_run(), wire.new_id()
    said = [event(f"m{i}", i) for i in range(6)]
    for first, end, stored in ((0, 4, 4), (2, 6, 2), (0, 6, 0)):
        headers = {wire.WRITER_HEADER: writer, wire.ROWS_HEADER: f"{first}-{end}"}
        assert send(server, run, said[first:end], **headers)["stored"] == stored
    assert server.get("/events", run=run)["count"] == 6
    assert server.get(f"/runs/{run}/writers") == {writer: [[0, 6]]}


def test_a_retry_of_an_official_client_is_stored_once(server: Server) -> None:
    run = server.new_run()
    for stored in (1, 0):
        assert send(server, run, [event("once")])["stored"] == stored


def test_its_retry_after_a_kill_is_stored_once(fresh_server: Server) -> None:
    run = fresh_server.new_run()
    assert send(fresh_server, run, [event("once")])["stored"] == 1
    fresh_server.kill()
    fresh_server.restart()
    assert send(fresh_server, run, [event("once")])["stored"] == 0


def test_filters_search_messages(server: Server) -> None:
    run = server.new_run()
    send(server, run, [event("solver > diverged", 1), event("all is well", 2), event("Ä\0b", 3)])

    def found(*texts: str) -> list[str]:
        filters = json.dumps([f"event.message contains {text}" for text in texts])
        answer = server.get("/events", run=run, count=0, filters=filters)
        return [item["message"] for item in answer["data"]]

    assert found("> div") == ["solver > diverged"]
    assert found("l", "w") == ["all is well"]
    assert found("Ä") == ["Ä\ufffdb"]
    assert found("absent") == []
    assert len(server.get("/events", run=run, filters="")["data"]) == 3


def test_filters_choose_levels(server: Server) -> None:
    run = server.new_run()
    send(server, run, [event(f"a {level}", 1, level) for level in wire.LOG_LEVELS])

    def found(*filters: str) -> list[str]:
        answer = server.get("/events", run=run, filters=json.dumps(filters))
        return [item["log_level"] for item in answer["data"]]

    assert found("event.log_level == warning") == ["warning"]
    assert found("event.log_level >= warning") == ["warning", "error", "critical"]
    assert found("event.log_level >= error", "event.message contains crit") == ["critical"]
    assert found("event.log_level == info", "event.log_level >= error") == []
    window = {"run": run, "window": 60, "timestamp_begin": at(0), "timestamp_end": at(60)}
    bars = server.get("/events/histogram", **window, filters="event.log_level >= error")["data"]
    assert [bar["count"] for bar in bars] == [2]


def test_a_histogram_counts_windows(server: Server) -> None:
    run = server.new_run()
    send(server, run, [event(f"m{i}", second) for i, second in enumerate((0, 1, 5, 61, 119, 200))])
    query = {"run": run, "window": 60, "timestamp_begin": at(0), "timestamp_end": at(180)}
    bars = server.get("/events/histogram", **query)["data"]
    assert [bar["count"] for bar in bars] == [3, 2, 0]
    assert [bar["timestamp"] for bar in bars] == [at(0), at(60), at(120)]
    raw = ["event.message contains m1", "event.message contains 1"]
    some = server.get("/events/histogram", **query, filters=raw)["data"]
    assert [bar["count"] for bar in some] == [1, 0, 0]


@pytest.mark.parametrize(
    "bad",
    [
        {"message": 7},
        {"timestamp": at(0)},
        {"message": "m", "timestamp": "soon"},
        {"message": "m", "timestamp": 12},
        {"message": "m", "log_level": "loud"},
        [],
    ],
    ids=str,
)
def test_one_bad_event_refuses_its_body_only_if_its_rows_are_numbered(
    server: Server, bad: Any
) -> None:
    run = server.new_run()
    body = {"run": run, "events": [event("fine"), bad, event("too", 2)]}
    headers = {wire.WRITER_HEADER: wire.new_id(), wire.ROWS_HEADER: "0-3"}
    answer = server.send("/events", body, headers)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"]
    assert server.get("/events", run=run)["count"] == 0
    assert good(server.send("/events", body)) == {"stored": 2, "abort": False, "refused": 1}
    assert [item["message"] for item in server.get("/events", run=run)["data"]] == ["fine", "too"]


@pytest.mark.parametrize(
    "query",
    [
        {"run": "x"},
        {"run": ""},
        {"start": "-1"},
        {"filters": '["status == running"]'},
        {"filters": "event.message =="},
        {"filters": "event.log_level == loud"},
        {"filters": "event.log_level < info"},
    ],
    ids=str,
)
def test_a_bad_query_is_422(server: Server, query: dict[str, str]) -> None:
    answer = server.ask("GET", "/events", params={"run": server.new_run(), **query})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "query"


def test_a_histogram_of_too_many_bars_is_422(server: Server) -> None:
    query = {"window": 1, "timestamp_begin": at(0), "timestamp_end": at(10**6)}
    answer = server.ask("GET", "/events/histogram", params={"run": server.new_run(), **query})
    assert answer.status_code == 422


def test_an_unknown_run_is_404(server: Server) -> None:
    assert server.ask("GET", "/events", params={"run": wire.new_id()}).status_code == 404
    body = {"run": wire.new_id(), "events": [event("m")]}
    assert server.send("/events", body).status_code == 404


def test_a_writer_of_one_kind_of_rows_sends_no_other(server: Server) -> None:
    run, writer = server.new_run(), wire.new_id()
    headers = {wire.WRITER_HEADER: writer, wire.ROWS_HEADER: "0-1"}
    event = {"message": "m", "timestamp": "2026-01-01T00:00:00.000001"}
    good(server.send("/events", {"run": run, "events": [event]}, headers))
    row = {"values": {"a": 1.0}, "time": 0.0, "timestamp": event["timestamp"], "step": 0}
    changes = {"writers": {writer: {"kind": "metrics"}}}
    for answer in (
        server.send("/metrics", {"run": run, "metrics": [row]}, headers),
        server.ask("PUT", f"/runs/{run}", json=changes),
    ):
        assert answer.status_code == 422
        assert "a writer is one stream" in answer.text
