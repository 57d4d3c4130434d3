"""Tenants, users, tokens and what each user has, over HTTP (wire.md 8.10 and 8.11)."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
import requests
from fix_server import Server, good

from simvue import wire


class Guest:
    """Somebody else at *server*, with a token of their own."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        self.token = token

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(
            method, f"{self.server.url}/api{path}", headers=headers, timeout=30, **arguments
        )


def new_tenant(server: Server) -> str:
    made: str = server.post("/tenants", {"name": wire.new_id()})["id"]
    return made


def new_user(server: Server, tenant: str, **members: Any) -> str:
    user = {"username": wire.new_id(), "fullname": "A B", "email": "a@b.c", **members}
    # As official clients send it: everything twice.
    body = {"user": user, "tenant": tenant, "offline": False, **user}
    made: str = server.post("/users", body)["id"]
    return made


def guest(server: Server, user: str, **wanted: Any) -> Guest:
    return Guest(server, server.post("/tokens", {"user": user, **wanted})["token"])


@pytest.fixture
def tenant(server: Server) -> str:
    return new_tenant(server)


@pytest.fixture
def user(server: Server, tenant: str) -> str:
    return new_user(server, tenant)


class TestTenantsAndUsers:
    def test_a_tenant_comes_and_goes(self, server: Server) -> None:
        members = {
            "name": wire.new_id(),
            "is_enabled": False,
            "max_request_rate": 1,
            "max_runs": 2,
            "max_data_volume": 2**63 - 1,
        }
        tenant = server.post("/tenants", members)["id"]
        found = server.get(f"/tenants/{tenant}")
        assert len(found.pop("created")) == len("2026-01-31T12:00:00.000000")
        assert found == {"id": tenant, **members}
        server.put(f"/tenants/{tenant}", {"max_runs": 0, "name": None})
        assert server.get(f"/tenants/{tenant}")["max_runs"] == 0
        listed = server.get("/tenants", start=0, count=1)
        assert listed["count"] >= 2
        assert len(listed["data"]) == 1
        assert server.delete(f"/tenants/{tenant}") == {}
        for method in ("GET", "PUT", "DELETE"):
            assert server.ask(method, f"/tenants/{tenant}", json={}).status_code == 404

    def test_a_user_comes_and_goes(self, server: Server, tenant: str) -> None:
        user = new_user(server, tenant, is_manager=True, welcome=True)
        found = server.get(f"/users/{user}")
        assert (found["fullname"], found["email"], found["tenant"]) == ("A B", "a@b.c", tenant)
        flags = {name: found[name] for name in found if name.startswith("is_")}
        assert flags == {
            "is_manager": True,
            "is_admin": False,
            "is_readonly": False,
            "is_enabled": True,
            "is_deleted": False,
        }
        server.put(f"/users/{user}", {"fullname": "C D", "is_readonly": True})
        changed = server.get(f"/users/{user}")
        assert (changed["fullname"], changed["is_readonly"]) == ("C D", True)
        assert user in [item["id"] for item in server.get("/users", count=100)["data"]]
        assert server.delete(f"/users/{user}") == {}
        for method in ("GET", "PUT", "DELETE"):
            assert server.ask(method, f"/users/{user}", json={}).status_code == 404

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/tenants", {}),
            ("/tenants", {"name": "default"}),
            ("/tenants", {"name": "x", "max_runs": -1}),
            ("/tenants", {"name": "x", "max_runs": 2**63}),
            ("/users", {"user": {"username": "x"}}),
            ("/users", {"user": {}, "tenant": "A" * 22}),
            ("/users", {"user": {"username": "x"}, "tenant": "A" * 22}),
            ("/users", {"username": "x", "tenant": "A" * 22}),
            ("/tokens", {"scope": "everything"}),
            ("/tokens", {"lifetime": 0}),
            ("/tokens", {"lifetime": 2**40}),
            ("/tokens", {"user": "A" * 22}),
            ("/tokens", {"user": "me"}),
        ],
    )
    def test_what_cannot_be_made_is_422(self, server: Server, path: str, body: Any) -> None:
        answer = server.ask("POST", path, json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"]

    def test_the_last_administrator_stays(self, server: Server) -> None:
        users = server.get("/users", count=1000)["data"]
        admin = next(user for user in users if user["username"] == "admin")
        for method, path, body in (
            ("DELETE", f"/users/{admin['id']}", {}),
            ("DELETE", f"/tenants/{admin['tenant']}", {}),
            ("PUT", f"/users/{admin['id']}", {"is_admin": False}),
            ("PUT", f"/tenants/{admin['tenant']}", {"is_enabled": False}),
        ):
            answer = server.ask(method, path, json=body)
            assert answer.status_code == 422
            assert "administrator" in answer.json()["detail"][0]["msg"]

    def test_all_of_it_is_for_administrators(self, server: Server, user: str, tenant: str) -> None:
        other = guest(server, user)
        for method, path in (
            ("POST", "/tenants"),
            ("GET", "/tenants"),
            ("GET", f"/tenants/{tenant}"),
            ("PUT", f"/tenants/{tenant}"),
            ("DELETE", f"/tenants/{tenant}"),
            ("POST", "/users"),
            ("GET", "/users"),
            ("GET", f"/users/{user}"),
            ("PUT", f"/users/{user}"),
            ("DELETE", f"/users/{user}"),
            ("GET", "/stats?single=False"),
        ):
            assert other.ask(method, path, json={}).status_code == 403, (method, path)
        assert server.get(f"/users/{user}")["is_enabled"]


class TestTokens:
    def test_a_token_speaks_for_its_user_until_its_end(self, server: Server, user: str) -> None:
        made = server.post("/tokens", {"user": user, "name": "laptop", "lifetime": 3600})
        claims = json.loads(base64.urlsafe_b64decode(made["token"].split(".")[1] + "=="))
        assert 3500 < claims["exp"] - time.time() <= 3600
        who = good(Guest(server, made["token"]).ask("GET", "/whoami"))
        found = server.get(f"/users/{user}")
        assert (who["user"], who["scope"], who["is_admin"]) == (found["username"], "write", False)
        assert who["expires"] == made["expires"]
        listed = next(item for item in server.get("/tokens")["data"] if item["id"] == made["id"])
        assert (listed["name"], listed["user"]) == ("laptop", found["username"])
        assert made["token"] not in json.dumps(server.get("/tokens"))

    def test_its_runs_are_its_own(self, server: Server, user: str) -> None:
        run = good(guest(server, user).ask("POST", "/runs", json={"folder": "/"}))["id"]
        assert server.get(f"/runs/{run}")["user"] == server.get(f"/users/{user}")["username"]

    def test_a_token_for_reading_writes_nothing(self, server: Server, user: str) -> None:
        run = server.new_run()
        reader = guest(server, user, scope="read")
        good(reader.ask("GET", f"/runs/{run}"))
        for method, path in (
            ("POST", "/runs"),
            ("POST", "/metrics"),
            ("PUT", f"/runs/{run}"),
            ("DELETE", f"/runs/{run}"),
            ("POST", "/tokens"),
        ):
            answer = reader.ask(method, path, json={})
            assert answer.status_code == 403
            assert "read" in answer.json()["detail"]
        assert server.get(f"/runs/{run}")["status"] == "running"

    def test_a_token_taken_back_is_unknown_at_once(self, server: Server, user: str) -> None:
        first, second = guest(server, user), guest(server, user)
        good(first.ask("GET", "/whoami"))
        mine = good(first.ask("GET", "/tokens"))
        assert mine["count"] == 2, "only its own"
        claims = json.loads(base64.urlsafe_b64decode(first.token.split(".")[1] + "=="))
        assert good(second.ask("DELETE", f"/tokens/{claims['jti']}")) == {}
        assert first.ask("GET", "/whoami").status_code == 401
        assert good(second.ask("GET", "/tokens"))["count"] == 1
        assert second.ask("DELETE", f"/tokens/{claims['jti']}").status_code == 404

    def test_nobody_gives_more_than_they_have(self, server: Server, user: str, tenant: str) -> None:
        writer = guest(server, user)
        assert writer.ask("POST", "/tokens", json={"scope": "admin"}).status_code == 422
        assert writer.ask("POST", "/tokens", json={"user": user}).status_code == 422
        own = good(writer.ask("POST", "/tokens", json={"scope": "read"}))
        assert good(Guest(server, own["token"]).ask("GET", "/whoami"))["scope"] == "read"
        theirs = server.get("/tokens", count=1000)["data"]
        admins = next(item["id"] for item in theirs if item["user"] == "admin")
        assert writer.ask("DELETE", f"/tokens/{admins}").status_code == 404
        promised = guest(server, user, scope="admin")
        assert good(promised.ask("GET", "/whoami"))["scope"] == "write", "its user is none"

    def test_what_a_user_loses_its_tokens_lose_at_once(self, server: Server, tenant: str) -> None:
        user = new_user(server, tenant, is_admin=True)
        other = guest(server, user, scope="admin")
        good(other.ask("GET", "/users"))
        server.put(f"/users/{user}", {"is_admin": False})
        assert other.ask("GET", "/users").status_code == 403
        server.put(f"/users/{user}", {"is_enabled": False})
        assert other.ask("GET", "/whoami").status_code == 401
        server.put(f"/users/{user}", {"is_enabled": True})
        good(other.ask("GET", "/whoami"))
        server.put(f"/tenants/{tenant}", {"is_enabled": False})
        assert other.ask("GET", "/whoami").status_code == 401
        server.put(f"/tenants/{tenant}", {"is_enabled": True})
        server.delete(f"/users/{user}")
        assert other.ask("GET", "/whoami").status_code == 401


def test_what_each_user_has(server: Server, user: str, tenant: str) -> None:
    other, username = guest(server, user), server.get(f"/users/{user}")["username"]
    run = good(other.ask("POST", "/runs", json={"folder": "/", "tags": ["a", "b"]}))["id"]
    good(other.ask("POST", "/alerts", json={"name": "x", "source": "user"}))
    events = [{"message": "m", "timestamp": "2026-01-31T12:00:00.000001"}] * 3
    good(server.send("/events", {"run": run, "events": events}))
    row = {"values": {"a": 1, "b": 2}, "time": 0, "timestamp": "2026-01-31T12:00:00", "step": 0}
    server.send_rows(run, [row])
    counts = {"runs": 1, "alerts": 1, "tags": 2, "events": 3, "metrics": 2}
    expected = {**counts, "files": 0, "volume": 0}
    assert server.get("/stats", single="False", tenant=tenant) == {username: expected}
    everybody = server.get("/stats", single="False")
    assert everybody[username] == expected
    assert {"admin", username} <= everybody.keys()
    assert server.get("/stats", single="True")["runs"]["created"] >= 1
