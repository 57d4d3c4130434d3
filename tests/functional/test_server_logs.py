"""What the server says on stderr while it works, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from fix_server import Server


@contextmanager
def logging_server(directory: Path, *arguments: str) -> Iterator[Server]:
    running = Server(directory / "data", *arguments)
    yield running
    running.kill()


def lines(server: Server) -> list[dict[str, Any]]:
    """Stop *server* and read its log, of which every line is a JSON object."""
    assert server.stop() == 0
    return [json.loads(line) for line in server.log_text().splitlines()]


def test_at_info_a_request_that_failed_is_one_object_with_what_one_asks_first(
    tmp_path: Path,
) -> None:
    with logging_server(tmp_path, "--log-format", "json", "--log-level", "info") as server:
        run = "x" * 22
        headers = {"X-Request-Id": "from-a-proxy.1"}
        answer = server.ask("GET", f"/runs/{run}?filters=secret", headers=headers)
        assert answer.status_code == 404
        assert answer.headers["X-Request-Id"] == "from-a-proxy.1"
        server.get("/whoami")
        [line] = [line for line in lines(server) if line["logger"] == "simvue.server.ledger"]
    assert 0 < line.pop("seconds") < 60
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "simvue.server.ledger",
        "message": f"GET /api/runs/{run} answered 404",
        "method": "GET",
        "path": f"/api/runs/{run}",
        "status": 404,
        "user": "admin",
        "run": run,
        "request": "from-a-proxy.1",
    }


def test_every_request_is_told_at_debug_only(tmp_path: Path) -> None:
    with logging_server(tmp_path, "--log-format", "json", "--log-level", "debug") as server:
        answer = server.ask("GET", "/whoami")
        told = [line for line in lines(server) if line["logger"] == "simvue.server.ledger"]
    assert [(line["path"], line["level"]) for line in told] == [("/api/whoami", "DEBUG")]
    # Who gave no id of their own, or one that is none, gets one.
    assert told[0]["request"] == answer.headers["X-Request-Id"]


def test_what_a_thread_says_of_a_body_names_its_request(tmp_path: Path) -> None:
    with logging_server(tmp_path, "--log-format", "json") as server:
        row = {"values": {"a": 1.0}, "time": 0, "timestamp": "2026-01-01T00:00:00", "step": 0}
        bad = {**row, "values": {"a": "no number"}}
        body = {"run": server.new_run(), "metrics": [row, bad]}
        answer = server.send("/metrics", body, {"X-Request-Id": "a-body"})
        assert answer.json()["refused"] == 1
        [line] = lines(server)
    assert (line["level"], line["request"]) == ("WARNING", "a-body")
    assert line["message"].startswith("1 rows of a body of metrics cannot be stored")


def test_uvicorn_says_its_own_in_the_same_form(tmp_path: Path) -> None:
    with logging_server(tmp_path, "--log-format", "json", "--log-level", "info") as server:
        said = {line["logger"] for line in lines(server)}
    assert "uvicorn.error" in said


def test_by_default_a_server_with_which_all_is_well_says_nothing(fresh_server: Server) -> None:
    fresh_server.get("/whoami")
    assert fresh_server.ask("GET", "/runs/none").status_code == 422
    assert fresh_server.stop() == 0
    assert fresh_server.log_text() == ""


def test_no_token_stands_in_any_line(tmp_path: Path) -> None:
    """Wherever one may be brought: header, cookie, link for a browser, form, and a wrong one."""
    with logging_server(tmp_path, "--log-level", "debug") as server:
        token, url = server.token, server.url
        server.get("/whoami")
        requests.get(f"{url}/?token={token}", timeout=30)
        requests.get(f"{url}/api/whoami?token={token}", timeout=30)
        requests.get(f"{url}/", cookies={f"simvue_{server.port}": token}, timeout=30)
        requests.post(f"{url}/login", data={"token": token}, timeout=30)
        made = server.post("/tokens", {"name": "another"})["token"]
        server.ask("GET", "/whoami", headers={"Authorization": f"Bearer {made}x"})
        form = {"name": "n", "size": 1, "checksum": "a" * 64}
        link = server.post("/artifacts", form)["url"]
        requests.put(link, data=b"other bytes", timeout=30)
        signature = link.partition("signature=")[2]
        assert server.stop() == 0
        said = server.log_text()
    assert said.count("answered") >= 8
    for secret in (token, made, signature):
        assert len(secret) > 30
        for part in secret.split("."):
            assert part not in said


def test_a_hostile_request_id_is_not_taken(server: Server) -> None:
    answer = server.ask("GET", "/whoami", headers={"X-Request-Id": 'a b=c" {}' + "x" * 100})
    assert len(answer.headers["X-Request-Id"]) == 16
