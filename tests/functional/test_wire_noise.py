"""No request, however odd, is an error of the server's own."""

from __future__ import annotations

import json
import random
from typing import Any

import msgpack
import pytest
import requests
from fix_server import Server

from simvue import wire

# Some five seconds; each test run takes another road.
REQUESTS = 600

NAMES = [
    "runs",
    "metrics",
    "xaxis",
    "aggregate",
    "max_points",
    "start",
    "end",
    "count",
    "filters",
    "sorting",
    "run",
    "window",
    "timestamp_begin",
    "timestamp_end",
    "recursive",
    "runs_only",
    "single",
    "step",
    "category",
    "for",
    "until",
    "signature",
]
TEXTS = [
    *("", "a", "0", "1", "-1", "1.5", "1e300", "-1e300", "9" * 30, "nan", "True", "None", "\0"),
    *("9223372036854775807", "-9223372036854775808", "é", "🎉", "%00", "\u00ed\u00a0\u0080"),
    *("[]", "{}", "[1]", "null", "[", '["a", "b"]', r'["a", "a", "\ud800"]', '["x"]'),
    *("step", "time", "timestamp", '["starred"]', '["created < 3d"]', '["metadata.a > nan"]'),
    *(r'["metadata.\u0000 == 1"]', '["alert.name == x"]', '["event.message contains x"]'),
    *('[{"id": "metrics.a"}]', '[{"id": "metadata."}]', '[{"id": "name", "desc": 1}]'),
    *("0001-01-01T00:00:00.000000", "9999-12-31T23:59:59.999999", "2026-01-01T00:00:00+99:99"),
]
VALUES = [
    *(None, True, 0, -1, 1e308, 10**400, float("nan"), 2**63, 2**64, "", "x", "\0", "/", "/a/b"),
    *("2026-01-01", "running", "lost", "all", [], ["x"], [1], {}, {"\0": 1}, {"users": ["a"]}),
    *({"a": {"b": [1, float("inf")]}}, {"state": "all"}, {"a": 10**19, "b": "x" * 100_000}),
    *("user", "events", "metrics", "critical", "read", {"pattern": "x"}, {"username": "\ud800"}),
    {"metric": "[*", "rule": "is below", "threshold": 10**400},
    {"metric": "*", "rule": "is above", "threshold": -1e308, "aggregation": "sum"},
    *("0" * 64, "File", "S3", "output", {"bucket": "b"}, [[1, 2]], [[float("nan")]], ["x", "y"]),
]
MEMBERS = [
    "name",
    "folder",
    "status",
    "system",
    "description",
    "tags",
    "metadata",
    "visibility",
    "ttl",
    "heartbeat_timeout",
    "notifications",
    "alerts",
    "started",
    "endtime",
    "id",
    "path",
    "colour",
    "starred",
    "reason",
    "source",
    "alert",
    "frequency",
    "enabled",
    "user",
    "tenant",
    "scope",
    "lifetime",
    "max_runs",
    "size",
    "checksum",
    "mime_type",
    "original_path",
    "uploaded",
    "category",
    "backend",
    "config",
    "disable_check",
    "grid",
    "labels",
    "metric",
]


@pytest.fixture(scope="module")
def odd_run(server: Server) -> str:
    """A run with rows and events at the edges of what can be said."""
    run = server.new_run(tags=["t"], metadata={"a": 1})
    edges = [
        (1.0, 0, 0.0, "2026-01-01T00:00:00.000001"),
        (float("nan"), 2**63 - 1, float("nan"), "1970-01-01T00:00:00.000000"),
        (2**64 - 1, 0, -1e300, "0001-01-01T00:00:00.000000"),
        (True, 5, 1e300, "9999-12-31T23:59:59.999999"),
    ]
    rows = [
        {"values": {"a": value, "b": 1}, "step": step, "time": time, "timestamp": timestamp}
        for value, step, time, timestamp in edges
    ]
    server.send_rows(run, rows)
    events = [{"message": "x\0", "timestamp": timestamp} for *_, timestamp in edges]
    assert server.send("/events", {"run": run, "events": events}).status_code == 200
    return run


def test_odd_requests_are_answered_in_json_and_never_by_a_500(
    server: Server, odd_run: str, rng: random.Random
) -> None:
    folder = server.get("/folders")["data"][0]["id"]
    tag = server.get("/tags")["data"][0]["id"]
    tenant = server.post("/tenants", {"name": wire.new_id()})["id"]
    rule = {"metric": "*", "rule": "is above", "threshold": 0}
    alert = server.post("/alerts", {"name": "noise", "source": "metrics", "alert": rule})["id"]
    noise = {"name": "noise", "size": 0, "checksum": "0" * 64}
    artifact = server.post("/artifacts", noise)["id"]
    storage = server.post("/storage", {"name": "noise", "backend": "File"})["id"]
    axes = {"name": "noise", "grid": [[1, 2]], "labels": ["x"]}
    grid = server.post("/grids", axes)["id"]
    array = {"time": 0, "timestamp": "0001-01-01", "step": 2**63 - 1, "array": [1, float("nan")]}
    server.send(f"/runs/{odd_run}/metrics", [{**array, "grid": grid, "metric": "u"}])
    paths = [
        *("/runs", "/metrics", "/metrics/names", "/metrics/span", "/events", "/events/histogram"),
        *("/folders", f"/folders/{folder}", "/tags", f"/tags/{tag}", "/stats", "/whoami"),
        *("/alerts", f"/alerts/{alert}", f"/alerts/{alert}/status/{odd_run}", "/tokens"),
        *("/tenants", f"/tenants/{tenant}", "/users", f"/users/{tenant}"),
        *("/artifacts", f"/artifacts/{artifact}", f"/artifacts/{artifact}/lineage", "/storage"),
        *(f"/storage/{storage}", "/grids", f"/grids/{grid}", f"/files/{artifact}"),
        *(f"/runs/{odd_run}/{what}" for what in (f"artifacts/{artifact}", f"grids/{grid}")),
        *(f"/runs/{odd_run}/metrics/u/{what}" for what in ("values", "span", "")),
        *(f"/runs/{odd_run}/{what}" for what in ("artifacts", "grids", "metrics")),
        *(f"/runs/{odd_run}{end}" for end in ("", "/series", "/writers", "/abort", "/starred")),
    ]
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {server.token}"
        for _ in range(REQUESTS):
            path = rng.choice(paths)
            if rng.random() < 0.6:
                query = [(rng.choice(NAMES), rng.choice(TEXTS)) for _ in range(rng.randrange(7))]
                query = [("run", odd_run), ("runs", f'["{odd_run}"]'), *query]
                query.append(("metrics", '["a", "b"]'))
                rng.shuffle(query)
                request: Any = ("GET", path, {"params": query})
            else:
                body: Any = {rng.choice(MEMBERS): rng.choice(VALUES) for _ in range(4)}
                if rng.random() < 0.7:
                    body |= {"folder": "/noise", "path": "/noise"}
                if rng.random() < 0.1:
                    body = rng.choice(VALUES)
                request = (rng.choice(("POST", "PUT")), path, {"data": json.dumps(body)})
            method, path, arguments = request
            answer = session.request(method, f"{server.url}/api{path}", timeout=30, **arguments)
            assert answer.status_code < 500, f"{request}: {answer.text}"
            if answer.headers["Content-Type"] == wire.MSGPACK:
                msgpack.unpackb(answer.content)
            else:
                answer.json()
