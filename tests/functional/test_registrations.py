"""Runs opened at the same moment are registered in one request, each with its own answer."""

from __future__ import annotations

from typing import Any

from fix_node import Node, eventually
from fix_proxy import Proxy
from fix_server import Server

from simvue.delivery import Outcome
from simvue.registrations import register
from simvue.remote import Remote
from simvue.wire import new_id


def opening(server: Server, **members: Any) -> dict[str, Any]:
    """Return the open call of a new run."""
    run = {"id": new_id(), "name": "one-of-many", "folder": "/many", "status": "running"}
    return {"call": "open", "run": {**run, **members}}


def remote(server: Server) -> Remote:
    return Remote(server.url, server.token)


def test_all_are_registered_by_one_request(server: Server) -> None:
    calls = [opening(server) for _ in range(20)]
    reply = register(remote(server), calls)
    assert reply.outcome is Outcome.DONE
    assert [each.content["id"] for each in reply.content] == [call["run"]["id"] for call in calls]
    assert all(server.get(f"/runs/{call['run']['id']}")["status"] == "running" for call in calls)
    # Sent again, after its answer was lost, it changes nothing.
    assert register(remote(server), calls) == reply


def test_one_that_is_refused_refuses_no_other(server: Server) -> None:
    gone = opening(server)
    server.post("/runs", gone["run"])
    server.delete(f"/runs/{gone['run']['id']}")
    taken = opening(server)
    server.post("/runs", {**taken["run"], "name": "somebody-else"})
    calls = [opening(server), gone, opening(server), taken, opening(server, folder="no-slash")]
    reply = register(remote(server), calls)
    outcomes = [each.outcome for each in reply.content]
    rejected = Outcome.REJECTED
    assert outcomes == [Outcome.DONE, Outcome.GONE, Outcome.DONE, rejected, rejected]
    for call in (calls[0], calls[2]):
        assert server.get(f"/runs/{call['run']['id']}")["name"] == "one-of-many"


def test_runs_of_a_loop_in_threads_share_requests(proxied: tuple[Node, Proxy]) -> None:
    """40 threads open a run each at a barrier: far fewer registrations than runs."""
    node, proxy = proxied
    node.env["SIMVUE_INIT_TIMEOUT"] = "20"
    output = node.simulate("""
        first = Run()
        first.init("first", no_color=True)
        barrier = threading.Barrier(40)
        runs = [Run() for _ in range(40)]
        def open(run):
            barrier.wait()
            run.init(no_color=True)
        threads = [threading.Thread(target=open, args=(run,)) for run in runs]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        for step, run in enumerate(runs): run.log_metrics({"x": float(step)}, step=step)
        for run in [first, *runs]: run.close()
        print("ids", *(run.id for run in runs))
    """)
    ids = output.split("ids ")[1].split()
    assert len(set(ids)) == 40
    for step, run in enumerate(ids):
        eventually(lambda r=run: node.status(r) == "completed", "its end")
        assert node.steps(run) == [step]
    registrations = [r for r in proxy.requests if (r.method, r.path) == ("POST", "/api/runs")]
    assert len(registrations) < 20, registrations
