"""What the server counts of itself: every count is exact, told to who may know, and bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import pytest
import requests
from fix_server import Server
from prometheus_client.parser import text_string_to_metric_families

from simvue.server.ledger import NOWHERE
from simvue.version import __version__

Labels = dict[str, str]


class Page:
    """One answer of ``/metrics``, by name and labels."""

    def __init__(self, server: Server) -> None:
        answer = scrape(server)
        assert answer.status_code == 200
        self.samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        ]

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of the samples called *name* that have these *labels*."""
        return sum(
            value
            for called, having, value in self.samples
            if called == name and labels.items() <= having.items()
        )

    def labels(self, name: str) -> list[Labels]:
        return [labels for called, labels, _ in self.samples if called == name]


def scrape(server: Server, **headers: str) -> requests.Response:
    given = {"Authorization": f"Bearer {server.token}", **headers}
    return requests.get(f"{server.url}/metrics", headers=given, timeout=30)


def rows(first: int, end: int) -> list[dict[str, Any]]:
    return [
        {"values": {"a": 1.0}, "time": n, "timestamp": "2026-01-01T00:00:00.000001", "step": n}
        for n in range(first, end)
    ]


def test_rows_are_counted_as_stored_repeated_or_refused(fresh_server: Server) -> None:
    run = fresh_server.new_run()
    before = Page(fresh_server)
    fresh_server.send_rows(run, rows(0, 10), writer="w" * 22)
    fresh_server.send_rows(run, rows(4, 16), writer="w" * 22, first=4)
    bad = {"values": {"a": "no number"}, "time": 0, "timestamp": "2026-01-01T00:00:00", "step": 0}
    fresh_server.send_rows(run, [*rows(16, 18), bad])
    events = msgpack.packb({"run": run, "events": [{"message": "m"}] * 3})
    assert fresh_server.send("/events", events).status_code == 200
    after = Page(fresh_server)

    def grown(name: str, kind: str) -> float:
        return after.sum(name, kind=kind) - before.sum(name, kind=kind)

    assert grown("simvue_ingest_bodies_total", "metrics") == 3
    assert grown("simvue_ingest_rows_total", "metrics") == 10 + 6 + 2
    assert grown("simvue_ingest_repeated_rows_total", "metrics") == 6
    assert grown("simvue_ingest_refused_rows_total", "metrics") == 1
    assert grown("simvue_ingest_seconds_count", "metrics") == 3
    assert grown("simvue_ingest_bodies_total", "events") == 1
    assert grown("simvue_ingest_bytes_total", "events") == len(events)
    assert grown("simvue_ingest_rows_total", "events") == 3
    assert grown("simvue_ingest_bodies_total", "arrays") == 0


def test_a_body_that_is_sent_twice_is_counted_as_repeated(fresh_server: Server) -> None:
    """By an official client: without row numbers, known again by its bytes."""
    run = fresh_server.new_run()
    for _ in range(2):
        fresh_server.send_rows(run, rows(0, 5))
    page = Page(fresh_server)
    assert page.sum("simvue_ingest_rows_total", kind="metrics") == 5
    assert page.sum("simvue_ingest_repeated_rows_total", kind="metrics") == 5


def test_requests_are_counted_by_the_route_and_not_by_the_path(fresh_server: Server) -> None:
    runs = [fresh_server.new_run() for _ in range(3)]
    for run in runs:
        fresh_server.get(f"/runs/{run}")
    for number in range(20):
        assert fresh_server.ask("GET", f"/no/such/path/{number}").status_code == 404
        assert requests.get(f"{fresh_server.url}/api/runs/{number}", timeout=30).status_code == 401
    page = Page(fresh_server)
    route = {"method": "GET", "route": "/api/runs/{run}", "status": "200"}
    assert page.sum("simvue_requests_total", **route) == 3
    assert page.sum("simvue_request_seconds_count", method="GET", route=route["route"]) == 3
    assert page.sum("simvue_requests_total", route=NOWHERE, status="404") == 20
    assert page.sum("simvue_requests_total", route=NOWHERE, status="401") == 20
    assert {labels["route"] for labels in page.labels("simvue_requests_total")} == {
        "/api/runs",
        "/api/runs/{run}",
        NOWHERE,
    }


def test_streams_that_are_open_are_counted(fresh_server: Server) -> None:
    headers = {"Authorization": f"Bearer {fresh_server.token}"}
    with requests.get(
        f"{fresh_server.url}/api/live", headers=headers, stream=True, timeout=30
    ) as stream:
        lines = stream.iter_lines()
        # The first event proves that the stream is open.
        assert next(lines)
        page = Page(fresh_server)
        assert page.sum("simvue_live_listeners") == 1
        assert page.sum("simvue_requests_total", route="/api/live") == 1


def test_no_body_is_inside_when_all_are_answered(fresh_server: Server) -> None:
    run = fresh_server.new_run()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: fresh_server.send_rows(run, rows(n, n + 1)), range(20)))
    page = Page(fresh_server)
    assert page.sum("simvue_ingest_bodies_total", kind="metrics") == 20
    assert page.sum("simvue_inflow_bytes") == 0


def test_a_scrape_says_what_runs_here(server: Server) -> None:
    page = Page(server)
    [build] = page.labels("simvue_build_info")
    assert build["version"] == __version__
    assert page.sum("process_open_fds") > 3
    assert page.sum("process_resident_memory_bytes") > 20e6


@pytest.mark.parametrize("scope", ["read", "write"])
def test_any_token_may_read_and_nobody_without(server: Server, scope: str) -> None:
    made = server.post("/tokens", {"name": "prometheus", "scope": scope})
    assert scrape(server, Authorization=f"Bearer {made['token']}").status_code == 200
    assert scrape(server, Authorization="Bearer nonsense").status_code == 401
    assert requests.get(f"{server.url}/metrics", timeout=30).status_code == 401
    assert scrape(server, Host="elsewhere.example").status_code == 421


def test_prometheus_gets_the_form_that_it_prefers(server: Server) -> None:
    asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = scrape(server, Accept=asked)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert scrape(server).headers["Content-Type"].startswith("text/plain; version=")
