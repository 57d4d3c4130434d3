"""Runs that fall silent are lost, and found again; those that expire go (lifecycle.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fix_server import Server

from simvue import wire

# Ten times the interval of the server's look plus the timeout: reached only if it is broken.
WAIT_S_MAX = 40


def wait_for(server: Server, run: str, status: str) -> None:
    """Ask until *run* has *status*; asking is no sign of life."""
    end = time.monotonic() + WAIT_S_MAX
    while server.get(f"/runs/{run}")["status"] != status:
        assert time.monotonic() < end, f"the run never became {status}"
        time.sleep(0.1)


def test_a_silent_run_is_lost_and_any_sign_of_life_finds_it(server: Server) -> None:
    # Three seconds: long for the two requests below, short to wait for.
    silent = [server.new_run(heartbeat_timeout=3) for _ in range(3)]
    patient = server.new_run(heartbeat_timeout=None)
    ended = server.new_run(heartbeat_timeout=3)
    server.put(f"/runs/{ended}", {"status": "completed"})
    for run in silent:
        wait_for(server, run, "lost")
    assert server.get(f"/runs/{patient}")["status"] == "running", "null is for ever"
    assert server.get(f"/runs/{ended}")["status"] == "completed"

    row = {"values": {"a": 1.0}, "time": 0, "timestamp": "2026-01-01T00:00:00.000001", "step": 0}
    signs: tuple[Callable[[str], Any], ...] = (
        lambda run: server.put(f"/runs/{run}/heartbeat"),
        lambda run: server.send_rows(run, [row]),
        lambda run: server.send("/events", {"run": run, "events": [{"message": "here"}]}),
    )
    for run, sign in zip(silent, signs, strict=True):
        sign(run)
        assert server.get(f"/runs/{run}")["status"] == "running"


def test_an_expired_run_goes_by_itself(server: Server) -> None:
    run = server.new_run(ttl=1)
    server.put(f"/runs/{run}", {"status": "completed"})
    end = time.monotonic() + WAIT_S_MAX
    while server.ask("GET", f"/runs/{run}").status_code != 404:
        assert time.monotonic() < end, "the run stayed"
        time.sleep(0.1)


def test_a_restart_is_a_sign_of_life(fresh_server: Server) -> None:
    run = fresh_server.new_run(id=wire.new_id(), heartbeat_timeout=2)
    fresh_server.kill()
    # Silence, but of the server: nobody could be heard.
    time.sleep(2.5)
    fresh_server.restart()
    assert fresh_server.get(f"/runs/{run}")["status"] == "running"
    wait_for(fresh_server, run, "lost")
