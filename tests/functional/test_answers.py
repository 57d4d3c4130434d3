"""Every answer of a server, or of what stands before it, is treated as the protocol says."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable

import pytest
from fix_node import Node, eventually
from fix_proxy import Proxy

from simvue.spool import read_records

SIMULATION = """
run = Run()
run.init({name!r})
print(run.id, flush=True)
sys.stdin.readline()
for step in range({rows}):
    run.log_metrics({{"x": float(step), "y": 1.0}}, step=step)
    if step % 100 == 0:
        run.log_event("event %d" % step)
run.update_tags(["after"])
print("closed", run.close(), run.dropped, flush=True)
"""


def simulate(node: Node, name: str, rows: int, trouble: Callable[[], None]) -> tuple[str, str]:
    """Run a simulation; after its registration, before its first row, *trouble* begins."""
    process = node.start(SIMULATION.format(name=name, rows=rows))
    assert process.stdout is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    trouble()
    output, _ = process.communicate("\n", timeout=60)
    assert "closed True 0" in output, output
    return run, output


def assert_whole(node: Node, run: str, rows: int) -> None:
    """Assert that every row and call of SIMULATION is stored, once."""
    eventually(lambda: node.status(run) == "completed", "its end")
    assert node.steps(run) == list(range(rows))
    assert node.server.get(f"/runs/{run}")["tags"] == ["after"]
    events = [event["message"] for event in node.client.get_events(run)]
    assert events == [f"event {step}" for step in range(0, rows, 100)]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408, 425])
def test_a_server_in_trouble_is_asked_again(proxied: tuple[Node, Proxy], status: int) -> None:
    """S2: on one 500 the official client delivers 0 rows of 20,001, and says ``completed``."""
    node, proxy = proxied
    run, _ = simulate(node, f"status-{status}", 500, lambda: proxy.say(3, status))
    assert_whole(node, run, 500)
    assert proxy.is_done


def test_retry_after_is_obeyed(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    before: list[int] = []

    def trouble() -> None:
        before.append(len(proxy.requests))
        # Two answers: both of the bodies that may be under way are told.
        proxy.say(2, 503, Retry_After="2")

    run, _ = simulate(node, "retry-after", 300, trouble)
    assert_whole(node, run, 300)
    times = [request.at for request in proxy.requests[before[0] :]]
    # Behind the first refusal, and what was under way beside it, two seconds of silence.
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) >= 2.0


def test_lost_acknowledgements_store_nothing_twice(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    run, _ = simulate(node, "lost-answers", 3000, lambda: proxy.lose_answers(4))
    assert_whole(node, run, 3000)
    assert proxy.is_done


def test_cut_connections_lose_nothing(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    run, _ = simulate(node, "cut", 3000, lambda: proxy.cut(4))
    assert_whole(node, run, 3000)
    assert proxy.is_done


def test_a_limit_on_bodies_is_kept_to_by_smaller_ones(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    run, _ = simulate(node, "small-bodies", 5000, lambda: proxy.limit_bodies(50_000))
    assert_whole(node, run, 5000)
    bodies = [r for r in proxy.requests if r.path == "/api/metrics"]
    assert sum(len(r.body) <= 50_000 for r in bodies) >= 8  # 5,000 rows are 450 kB


def test_a_token_refused_later_never_raises_and_is_told_once(
    proxied: tuple[Node, Proxy],
) -> None:
    node, proxy = proxied
    run, output = simulate(node, "refused-later", 500, lambda: proxy.say(10**6, 401))
    assert output.count("401") == 1
    assert node.server.token not in output
    # What was refused lies on disk, for when the token is right again.
    (file,) = (node.cache / "spool").glob("*.open")
    rows = [record for _, record in read_records(file) if record.run == run]
    assert sum(r.end - r.first for r in rows if r.kind.name == "METRICS") == 500
    proxy.behave()
    for pid in node.shippers():
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not node.shippers(), "the shipper ends")
    shipped = node.command("ship")
    assert "500 rows sent" in shipped or "505 rows sent" in shipped, shipped
    assert_whole(node, run, 500)


@pytest.mark.parametrize("status", [400, 415, 422])
def test_what_is_rejected_is_set_aside_with_the_answer(
    proxied: tuple[Node, Proxy], status: int
) -> None:
    node, proxy = proxied
    proxy.only = "/api/metrics"
    run, output = simulate(node, f"rejected-{status}", 300, lambda: proxy.say(1, status))
    assert "the server does not take some data" in output
    eventually(lambda: node.status(run) == "completed", "its end")
    (answers,) = (node.cache / "spool" / "rejected").glob("*.answers")
    assert "by the proxy" in answers.read_text()
    file = next(
        path for path in answers.parent.iterdir() if path.stem == answers.stem and path != answers
    )
    kept = [record for _, record in read_records(file)]
    first, end = kept[0].first, kept[-1].end
    assert node.steps(run) == [step for step in range(300) if not first <= step < end]


def test_a_server_that_forgot_the_run_is_told_of_it_again(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    proxy.only = "/api/metrics"
    run, _ = simulate(node, "forgotten", 300, lambda: proxy.say(1, 404))
    assert_whole(node, run, 300)
    registrations = [r for r in proxy.requests if (r.method, r.path) == ("POST", "/api/runs")]
    assert len(registrations) == 2


def test_rows_of_a_deleted_run_raise_no_dead(proxied: tuple[Node, Proxy]) -> None:
    node, _ = proxied
    process = node.start(SIMULATION.format(name="deleted", rows=300))
    assert process.stdout is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    node.server.delete(f"/runs/{run}")
    output, _ = process.communicate("\n", timeout=60)
    assert "closed True 0" in output
    assert "does not take some data" in output
    assert node.server.ask("GET", f"/runs/{run}").status_code == 404
    assert list((node.cache / "spool" / "rejected").glob("*.answers"))


def test_bodies_are_numbered_without_holes(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    run, _ = simulate(node, "numbered", 2000, lambda: None)
    assert_whole(node, run, 2000)
    ranges = []
    for request in proxy.requests:
        if request.path == "/api/metrics":
            head = request.head.decode("latin-1").lower()
            (line,) = (x for x in head.splitlines() if x.startswith("simvue-rows:"))
            ranges.append(tuple(map(int, line.split(":")[1].strip().split("-"))))
    ranges.sort()
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 2000
    assert all(end == first for (_, end), (first, _) in itertools.pairwise(ranges))
