"""Alerts over HTTP, as the official clients speak (wire.md 8.6), and judged by the server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from fix_node import Node
from fix_server import Server, good

from simvue import wire

JUDGED_S_MAX = 30.0
"""Until a row that arrived is judged: a second, on an idle machine."""
THRESHOLD = {
    "rule": "is above",
    "metric": "loss",
    "threshold": 2.0,
    "aggregation": "average",
    "window": 5,
    "frequency": 1,
}
RANGE = {
    "rule": "is outside range",
    "metric": "loss",
    "range_low": -1.5,
    "range_high": 1.0,
    "aggregation": "at least one",
    "window": 10,
    "frequency": 3,
}
PATTERN = {"pattern": "diverged", "frequency": 1}
KINDS = [("metrics", THRESHOLD), ("metrics", RANGE), ("events", PATTERN), ("user", None)]


def body_of(source: str, definition: Any, **members: Any) -> dict[str, Any]:
    body = {"name": wire.new_id(), "description": "d", "source": source, "enabled": True}
    return {**body, "notification": "none", **members} | (
        {"alert": definition} if definition else {}
    )


def new_alert(server: Server, source: str = "user", definition: Any = None, **more: Any) -> str:
    made: str = server.post("/alerts", body_of(source, definition, **more))["id"]
    return made


def row(value: float, step: int = 0) -> dict[str, Any]:
    timestamp = wire.format_timestamp(time.time_ns() // 1000)
    return {"values": {"loss": value}, "time": 0.0, "timestamp": timestamp, "step": step}


def wait(fact: Callable[[], Any], until: Any) -> None:
    """Wait until *fact* is *until*; for what the server does by itself."""
    end = time.monotonic() + JUDGED_S_MAX
    while (found := fact()) != until:
        assert time.monotonic() < end, f"still {found!r}, not {until!r}"
        time.sleep(0.05)


class TestAlerts:
    @pytest.mark.parametrize(("source", "definition"), KINDS)
    def test_an_alert_comes_back_with_every_key_that_clients_read(
        self, server: Server, source: str, definition: Any
    ) -> None:
        body = body_of(source, definition)
        alert = server.post("/alerts?deduplicate=True", body)["id"]
        found = server.get(f"/alerts/{alert}")
        assert found["alert"] == definition
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", found.pop("created"))
        assert found == {
            **body,
            "alert": definition,
            "id": alert,
            "abort": False,
            "auto": False,
            "delay": 0,
            "run_tags": [],
        }
        listed = server.get("/alerts")
        assert listed["count"] == len(listed["data"]) >= 1
        assert alert in [item["id"] for item in listed["data"]]

    def test_one_just_like_it_is_409_with_its_id(self, server: Server) -> None:
        body = body_of("metrics", THRESHOLD)
        alert = server.post("/alerts?deduplicate=True", body)["id"]
        again = server.ask("POST", "/alerts?deduplicate=True", json=body)
        assert (again.status_code, again.json()["id"]) == (409, alert)
        spelt_out = {**body, "abort": False, "auto": None, "alert": {**THRESHOLD, "threshold": 2}}
        again = server.ask("POST", "/alerts?deduplicate=True", json=spelt_out)
        assert (again.status_code, again.json()["id"]) == (409, alert)
        assert server.post("/alerts", body)["id"] != alert, "not asked to look"
        other = {**body, "alert": {**THRESHOLD, "threshold": 3}}
        assert server.post("/alerts?deduplicate=True", other)["id"] != alert

    def test_an_id_of_the_clients_own_is_kept(self, server: Server) -> None:
        assert "alert-id" in server.get("/version")["features"]
        body = body_of("user", None, id=wire.new_id())
        for _ in range(2):
            assert server.post("/alerts?deduplicate=True", body)["id"] == body["id"]
        other = server.ask("POST", "/alerts", json={**body, "name": "another"})
        assert other.status_code == 422
        twin = {**body, "id": wire.new_id()}
        answer = server.ask("POST", "/alerts?deduplicate=True", json=twin)
        assert (answer.status_code, answer.json()["id"]) == (409, body["id"])
        assert server.post("/alerts", twin)["id"] == twin["id"]

    def test_a_frequency_beside_the_definition_is_read(self, server: Server) -> None:
        alert = new_alert(server, "events", {"pattern": "x"}, frequency=7)
        assert server.get(f"/alerts/{alert}")["alert"] == {"pattern": "x", "frequency": 7}

    def test_changes(self, server: Server) -> None:
        alert = new_alert(server, "metrics", THRESHOLD)
        before = server.get(f"/alerts/{alert}")
        changes = {"description": None, "enabled": False, "abort": True, "alert": RANGE}
        server.put(f"/alerts/{alert}", {**changes, "source": "metrics", "name": None})
        assert server.get(f"/alerts/{alert}") == {**before, **changes}
        refused: tuple[Any, ...] = (
            {"source": "user"},
            {"source": "nobody"},
            {"alert": PATTERN},
            {"enabled": 1},
            {"notification": "pigeon"},
            {"name": ""},
            [],
        )
        for bad in refused:
            assert server.ask("PUT", f"/alerts/{alert}", json=bad).status_code == 422, bad
        assert server.get(f"/alerts/{alert}") == {**before, **changes}

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": "x"},
            {"name": "x", "source": "metrics"},
            {"name": "x", "source": "events", "alert": {"pattern": 1}},
            {"name": "x", "source": "events", "alert": []},
            {"name": "x", "source": "user", "id": "short"},
            {"name": "x", "source": "user", "frequency": "often"},
            {"name": "x", "source": "metrics", "alert": {**THRESHOLD, "threshold": None}},
            {"name": "x", "source": "metrics", "alert": {**THRESHOLD, "window": 1e300}},
            {"name": None, "source": "user"},
        ],
    )
    def test_what_is_no_alert_is_422(self, server: Server, body: Any) -> None:
        answer = server.ask("POST", "/alerts", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"

    def test_a_list_without_count_is_whole_and_with_one_a_page(self, server: Server) -> None:
        names = sorted(server.get(f"/alerts/{new_alert(server)}")["name"] for _ in range(3))
        listed = server.get("/alerts")
        assert {*names} <= {item["name"] for item in listed["data"]}
        sorting = '[{"id": "name", "desc": false}]'
        page = server.get("/alerts", start=0, count=2, sorting=sorting)
        assert (page["count"], len(page["data"])) == (listed["count"], 2)
        assert page["data"][0]["name"] <= page["data"][1]["name"]
        assert server.ask("GET", "/alerts", params={"sorting": "[1]"}).status_code == 422

    def test_what_is_gone_is_404_and_what_is_no_id_422(self, server: Server) -> None:
        alert, run = new_alert(server), server.new_run()
        server.put(f"/runs/{run}", {"alerts": [alert]})
        assert server.delete(f"/alerts/{alert}") == {}
        assert server.get(f"/runs/{run}")["alerts"] == []
        for path in (f"/alerts/{alert}", f"/alerts/{alert}/status/{run}"):
            assert server.ask("GET", path).status_code == 404
            assert server.ask("PUT", path, json={"status": "ok"}).status_code == 404
        assert server.ask("DELETE", f"/alerts/{alert}").status_code == 404
        assert server.ask("GET", "/alerts/offline_x").status_code == 422
        assert server.ask("PUT", "/alerts/x/status/y", json={"status": "ok"}).status_code == 422


class TestRuns:
    def test_the_alerts_of_a_run_are_the_list_that_was_sent(self, server: Server) -> None:
        first, second = new_alert(server), new_alert(server, "events", PATTERN)
        run = server.new_run(alerts=[second, first])
        found = server.get(f"/runs/{run}")["alerts"]
        assert found == [
            {"alert": server.get(f"/alerts/{alert}"), "status": None} for alert in (second, first)
        ]
        server.put(f"/runs/{run}", {"alerts": [first]})
        assert [item["alert"]["id"] for item in server.get(f"/runs/{run}")["alerts"]] == [first]
        server.put(f"/runs/{run}", {"alerts": []})
        assert server.get(f"/runs/{run}")["alerts"] == []

    def test_an_unknown_alert_is_422_and_nothing_is_made(self, server: Server) -> None:
        run, name = server.new_run(), wire.new_id()
        for alerts in ([wire.new_id()], ["x"], [1], "x"):
            answer = server.ask("PUT", f"/runs/{run}", json={"alerts": alerts, "name": "changed"})
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"][:2] == ["body", "alerts"]
            body = {"folder": "/", "name": name, "alerts": alerts}
            assert server.ask("POST", "/runs", json=body).status_code == 422
        assert server.get(f"/runs/{run}")["name"] == "a run"
        assert server.get("/runs", filters=f'["name == {name}"]')["count"] == 0

    def test_the_status_of_a_users_alert_is_what_was_said_last(self, server: Server) -> None:
        alert = new_alert(server)
        run, other = server.new_run(alerts=[alert]), server.new_run(alerts=[alert])
        path = f"/alerts/{alert}/status/{run}"
        assert server.get(path) == {"status": None}
        for status in ("critical", "ok", "critical"):
            server.put(path, {"status": status})
            assert server.get(path) == {"status": status}
            assert server.get(f"/runs/{run}")["alerts"][0]["status"] == status
        assert server.get(f"/alerts/{alert}/status/{other}") == {"status": None}
        refused: tuple[Any, ...] = ({}, {"status": None}, {"status": "fine"}, [])
        for bad in refused:
            assert server.ask("PUT", path, json=bad).status_code == 422
        assert server.get(f"/runs/{run}/abort") == {"status": False}

    def test_a_critical_alert_aborts_the_run_if_it_says_so(self, server: Server) -> None:
        alert = new_alert(server, abort=True)
        run = server.new_run(alerts=[alert])
        server.put(f"/alerts/{alert}/status/{run}", {"status": "critical"})
        assert server.get(f"/runs/{run}/abort") == {"status": True}
        assert server.get(f"/runs/{run}")["status"] == "running", "that is for the client to change"

    def test_nobody_judges_for_the_server(self, server: Server) -> None:
        alert = new_alert(server, "metrics", THRESHOLD)
        run = server.new_run(alerts=[alert])
        answer = server.ask("PUT", f"/alerts/{alert}/status/{run}", json={"status": "critical"})
        assert answer.status_code == 422


class TestJudgement:
    @pytest.mark.parametrize(
        ("definition", "values", "status"),
        [
            (THRESHOLD, [1.0, 4.0], "critical"),  # 2.5 on the average
            (THRESHOLD, [1.0, 2.0], "ok"),
            (RANGE, [0.0, -2.0], "critical"),
            ({**THRESHOLD, "metric": "lo*"}, [9.0], "critical"),
        ],
    )
    def test_metrics_are_judged_as_they_arrive(
        self, server: Server, definition: Any, values: list[float], status: str
    ) -> None:
        alert = new_alert(server, "metrics", definition)
        run = server.new_run(alerts=[alert])
        server.send_rows(run, [row(value, step) for step, value in enumerate(values)])
        wait(lambda: server.get(f"/alerts/{alert}/status/{run}"), {"status": status})

    def test_events_are_judged_as_they_arrive(self, server: Server) -> None:
        alert = new_alert(server, "events", PATTERN)
        run, other = server.new_run(alerts=[alert]), server.new_run(alerts=[alert])
        for sent, message in ((run, "the solver diverged"), (other, "all is well")):
            timestamp = wire.format_timestamp(time.time_ns() // 1000)
            events = [{"message": message, "timestamp": timestamp, "log_level": None}]
            good(server.send("/events", {"run": sent, "events": events}))
        wait(lambda: server.get(f"/runs/{run}")["alerts"][0]["status"], "critical")
        wait(lambda: server.get(f"/runs/{other}")["alerts"][0]["status"], "ok")

    def test_a_run_is_judged_again_after_a_restart(self, fresh_server: Server) -> None:
        """Rows stored before a kill may not have been judged; the run sends nothing after it."""
        alert = new_alert(fresh_server, "metrics", THRESHOLD)
        run = fresh_server.new_run()
        fresh_server.send_rows(run, [row(9.0)])
        fresh_server.put(f"/runs/{run}", {"alerts": [alert]})
        fresh_server.kill()
        fresh_server.restart()
        wait(lambda: fresh_server.get(f"/alerts/{alert}/status/{run}"), {"status": "critical"})

    def test_a_metric_beyond_its_threshold_ends_the_simulation(self, node: Node) -> None:
        """The whole road: logged, stored, judged, aborted, heard, KeyboardInterrupt."""
        alert = new_alert(node.server, "metrics", THRESHOLD, abort=True)
        simulation = node.start(
            """
            run = Run()
            run.init("beyond its threshold")
            print("run", run.id, flush=True)
            sys.stdin.readline()
            with run:
                while True:
                    run.log_metrics({"loss": 9.0})
                    time.sleep(0.01)
            """
        )
        assert simulation.stdout is not None
        assert simulation.stdin is not None
        for line in simulation.stdout:
            if line.startswith("run "):
                break
        run = line.split()[1]
        wait(lambda: node.server.ask("GET", f"/runs/{run}").status_code, 200)
        node.server.put(f"/runs/{run}", {"alerts": [alert]})
        print("", file=simulation.stdin, flush=True)
        output, _ = simulation.communicate(timeout=60)
        assert "KeyboardInterrupt" in output
        assert node.server.get(f"/runs/{run}")["alerts"][0]["status"] == "critical"
        wait(lambda: node.server.get(f"/runs/{run}")["status"], "terminated")
