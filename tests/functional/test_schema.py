"""The OpenAPI document: complete, and true of what the server answers (schema.py, shapes.py)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import requests
from fix_server import Server, good
from litestar.handlers import HTTPRouteHandler

from simvue import wire
from simvue.server.routes import events, folders, metrics, runs, tags, versions

# What takes no body although it is a PUT.
BODILESS = {"beat"}


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return good(
        requests.get(
            f"{server.url}/schema/openapi.json",
            headers={"Authorization": f"Bearer {server.token}"},
            timeout=30,
        )
    )


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(references, value))
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*map(references, value.values()))
    return set()


def test_strangers_do_not_get_it(server: Server) -> None:
    assert requests.get(f"{server.url}/schema/openapi.json", timeout=30).status_code == 401


def test_every_route_is_described_with_what_it_reads_and_answers(document: Any) -> None:
    described = operations(document)
    names = [operation["operationId"] for _, _, operation in described]
    assert len(set(names)) == len(names)
    for path, method, operation in described:
        where = f"{method} {path}"
        assert operation["summary"].endswith((".", ":")), where
        ((_, answered),) = operation["responses"]["200"]["content"].items()
        assert answered["schema"], f"{where} says nothing of its answer"
        if method in ("post", "put") and operation["operationId"] not in BODILESS:
            assert "requestBody" in operation, f"{where} says nothing of its body"


def test_every_reference_leads_somewhere(document: Any) -> None:
    prefix = "#/components/schemas/"
    lost = {name.removeprefix(prefix) for name in references(document)}
    assert lost <= set(document["components"]["schemas"])


ANSWERS: dict[tuple[str, str], Any] = {
    (method, path): handler.opt["answer"]
    for module in (events, folders, metrics, runs, tags, versions)
    for handler in module.HANDLERS
    if isinstance(handler, HTTPRouteHandler)
    for method in handler.http_methods
    for path in handler.paths
}


class Shaped:
    """Asks, and holds every answer against what the document says of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.seen: set[tuple[str, str]] = set()

    def ask(self, method: str, route: str, *segments: str, **arguments: Any) -> Any:
        self.seen.add((method, route))
        path = "/".join("%s" if part.startswith("{") else part for part in route.split("/"))
        if "msgpack" in arguments:
            response = self.server.send(path % segments, arguments["msgpack"])
        else:
            response = self.server.ask(method, path % segments, **arguments)
        assert response.status_code == 200, (route, response.text)
        media = response.headers["content-type"]
        found = (
            msgspec.msgpack.decode(response.content) if media == wire.MSGPACK else response.json()
        )
        msgspec.convert(found, ANSWERS[method, route])
        return found


def test_answers_have_the_shapes_that_the_document_gives_them(server: Server) -> None:
    """Shapes name every member and allow no other: a member added to an answer is added here."""
    shaped = Shaped(server)
    ask = shaped.ask
    folder = f"/shapes/{wire.new_id()}"
    body = {"folder": folder, "tags": ["shape"], "metadata": {"a": [1]}, "status": "running"}
    run = ask("POST", "/runs", json={**body, "description": "d", "ttl": 60})["id"]
    ask("POST", "/runs", json=[body, body])
    row = {"values": {"a": 1.5}, "time": 0, "timestamp": "2026-01-01T00:00:00.000001", "step": 0}
    ask("POST", "/metrics", msgpack={"run": run, "metrics": [row, {}]})
    event = {"message": "m", "timestamp": row["timestamp"]}
    ask("POST", "/events", msgpack={"run": run, "events": [event]})
    ask("PUT", "/runs/{run:str}", run, json={"name": "n"})
    ask("PUT", "/runs/{run:str}/starred", run, json={"starred": True})
    ask("PUT", "/runs/{run:str}/heartbeat", run)
    ask("PUT", "/runs/{run:str}/abort", run, json={"reason": "r"})
    for path in ("", "/abort", "/processes", "/writers"):
        ask("GET", f"/runs/{{run:str}}{path}", run)
    ask("GET", "/runs", params={"count": 5})
    of = {"runs": f'["{run}"]', "metrics": '["a"]'}
    for path in ("", "/names", "/span"):
        assert ask("GET", f"/metrics{path}", params=of)
    assert ask("GET", "/runs/{run:str}/series", run, params=of)["a"]
    cut = {**of, "sources": f'[["{run}",null,null]]', "max_points": 9}
    assert ask("GET", "/metrics/buckets", params=cut)[0]["a"]
    ask("GET", "/events", params={"run": run})
    window = {"timestamp_begin": "2026-01-01", "timestamp_end": "2026-01-02", "window": 3600}
    ask("GET", "/events/histogram", params={"run": run, **window})
    made = ask("POST", "/folders", json={"path": f"{folder}/below", "tags": ["shape"]})["id"]
    ask("GET", "/folders/{folder:str}", made)
    ask("PUT", "/folders/{folder:str}", made, json={"name": "n"})
    ask("PUT", "/folders/{folder:str}/starred", made, json={"starred": True})
    ask("GET", "/folders", params={"count": 5})
    ask("DELETE", "/folders/{folder:str}", made)
    tag = ask("POST", "/tags", json={"name": wire.new_id()})["id"]
    ask("PUT", "/tags/{tag:str}", tag, json={"colour": "red"})
    ask("GET", "/tags/{tag:str}", tag)
    ask("GET", "/tags", params={"count": 5})
    ask("DELETE", "/tags/{tag:str}", tag)
    ask("DELETE", "/runs/{run:str}", run)
    ask("GET", "/version")
    ask("GET", "/nosim/version")
    assert shaped.seen == ANSWERS.keys()
