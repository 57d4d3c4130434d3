"""Runs, folders, tags over HTTP, as the official clients speak (wire.md section 8)."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from fix_server import Server, good

from simvue import wire

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def post_json(server: Server, path: str, text: str) -> Any:
    return server.ask(
        "POST", path, data=text.encode(), headers={"Content-Type": "application/json"}
    )


def listed(server: Server, *filters: str, **parameters: Any) -> list[str]:
    query = {"filters": json.dumps(filters), "count": 100, "start": 0, **parameters}
    return [run["name"] for run in server.get("/runs", **query)["data"]]


@pytest.fixture
def folder() -> str:
    return f"/tests/{wire.new_id()}"


def test_the_version_is_one_that_official_clients_accept(server: Server) -> None:
    answer = server.get("/version")
    major, minor, patch = map(int, answer["version"].split("."))
    assert (1, 2, 16) <= (major, minor, patch) < (2, 0, 0)
    assert answer["features"] == list(wire.FEATURES)
    assert re.fullmatch(r"\d+\.\d+\.\d+", server.get("/nosim/version")["version"])


def test_whoami_and_stats_answer(server: Server) -> None:
    assert {"user", "tenant"} <= set(server.get("/whoami"))
    before = server.get("/stats")["runs"]
    server.new_run()
    after = server.get("/stats")["runs"]
    assert after["created"] == before["created"] + 1
    assert after["running"] == before["running"] + 1


class TestCreate:
    def test_a_run_comes_back_with_every_key_that_clients_read(
        self, server: Server, folder: str
    ) -> None:
        made = server.post("/runs", {"folder": folder, "name": "x", "status": "created"})
        assert wire.is_id(made["id"])
        assert made["name"] == "x"
        run = server.get(f"/runs/{made['id']}")
        assert run["status"] == "created"
        assert run["folder"] == folder
        assert TIMESTAMP.fullmatch(run["created"])
        for key in ("started", "endtime", "runtime", "description", "ttl", "heartbeat_timeout"):
            assert run[key] is None, key
        assert (run["tags"], run["metadata"], run["system"]) == ([], {}, {})
        assert (run["alerts"], run["metrics"]) == ([], {})
        assert run["visibility"] == {"users": [], "tenant": False, "public": False}
        assert "state" in run["notifications"]
        assert "user" in run

    def test_a_name_is_invented_if_there_is_none(self, server: Server) -> None:
        made = server.post("/runs", {"folder": "/"})
        assert made["name"]
        assert server.get(f"/runs/{made['id']}")["name"] == made["name"]

    def test_non_finite_metadata_comes_back_as_bare_tokens(self, server: Server) -> None:
        text = '{"folder": "/", "metadata": {"a": NaN, "b": {"c": -Infinity}, "d": null}}'
        run = good(post_json(server, "/runs", text))["id"]
        answer = server.ask("GET", f"/runs/{run}")
        assert "NaN" in answer.text
        metadata = answer.json()["metadata"]
        assert math.isnan(metadata["a"])
        assert metadata["b"]["c"] == -math.inf
        assert metadata["d"] is None

    def test_text_that_no_store_can_keep_is_replaced(self, server: Server) -> None:
        text = (
            r'{"folder": "/", "description": "a\u0000b\ud800c", "metadata": {"\udfff": "\u00e9"}}'
        )
        run = server.get(f"/runs/{good(post_json(server, '/runs', text))['id']}")
        assert run["description"] == "a\ufffdb\ufffdc"
        assert run["metadata"] == {"\ufffd": "é"}

    def test_an_id_of_the_clients_own_is_kept(self, server: Server) -> None:
        run = {"id": wire.new_id(), "folder": "/", "name": "mine"}
        assert server.post("/runs", run)["id"] == run["id"]
        assert server.post("/runs", run)["id"] == run["id"], "the same body again is the same run"
        other = server.ask("POST", "/runs", json={**run, "name": "another"})
        assert other.status_code == 422

    def test_a_batch_is_answered_in_order(self, server: Server, folder: str) -> None:
        batch = [
            {"folder": folder, "name": f"run {i}", "visibility": {"user": ["user01"]}}
            for i in range(20)
        ]
        made = server.post("/runs", batch)
        assert [item["name"] for item in made] == [f"run {i}" for i in range(20)]
        run = server.get(f"/runs/{made[7]['id']}")
        assert run["name"] == "run 7"
        assert run["visibility"]["users"] == ["user01"]

    def test_one_bad_run_refuses_its_whole_batch(self, server: Server, folder: str) -> None:
        answer = server.ask("POST", "/runs", json=[{"folder": folder}, {"folder": "nowhere"}])
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", 1, "folder"]
        assert listed(server, f"folder.path == {folder}") == []
        taken = server.new_run(id=wire.new_id())
        answer = server.ask(
            "POST", "/runs", json=[{"folder": folder}, {"folder": "/", "id": taken}]
        )
        assert answer.status_code == 422
        assert listed(server, f"folder.path == {folder}") == [], "nothing of it is stored"

    @pytest.mark.parametrize(
        ("text", "loc"),
        [
            ("", ["body"]),
            ("{", ["body"]),
            ("[1]", ["body", 0]),
            ("null", ["body"]),
            ('"\\udc80"', ["body"]),
            ("{}", ["body"]),
            ('{"folder": "tests"}', ["body", "folder"]),
            ('{"folder": "/", "status": "asleep"}', ["body", "status"]),
            ('{"folder": "/", "id": "short"}', ["body", "id"]),
            ('{"folder": "/", "id": "offline_ABCDEFGHIJKLMN"}', ["body", "id"]),
            ('{"folder": "/", "tags": ["a", 1]}', ["body", "tags", 1]),
            ('{"folder": "/", "ttl": 1e300}', ["body", "ttl"]),
            ('{"folder": "/", "ttl": -1}', ["body", "ttl"]),
            ('{"folder": "/", "started": "soon"}', ["body", "started"]),
            ('{"folder": "/", "metadata": []}', ["body", "metadata"]),
            ('{"folder": "/", "visibility": {"users": "me"}}', ["body", "visibility", "users"]),
            ('{"folder": "/", "metadata": ' + '{"a":' * 500 + "1" + "}" * 501, ["body"]),
            ("[" * 100_000, ["body"]),
        ],
    )
    def test_a_bad_body_is_refused_with_its_place(
        self, server: Server, text: str, loc: list[Any]
    ) -> None:
        answer = post_json(server, "/runs", text)
        assert answer.status_code == 422
        detail = answer.json()["detail"][0]
        assert detail["loc"] == loc
        assert detail["msg"]
        assert detail["type"]

    def test_huge_integers_in_metadata_are_kept_as_floats(self, server: Server) -> None:
        text = '{"folder": "/", "metadata": {"a": 1' + "0" * 30 + ', "b": 18446744073709551615}}'
        run = server.get(f"/runs/{good(post_json(server, '/runs', text))['id']}")
        assert run["metadata"] == {"a": 1e30, "b": 2**64 - 1}


class TestUpdate:
    def test_metadata_merges_deeply_and_tags_replace(self, server: Server) -> None:
        run = server.new_run(tags=["a", "b"], metadata={"x": 1, "y": {"z": 2}})
        server.put(f"/runs/{run}", {"metadata": {"y": {"w": 3}, "v": 4}, "tags": ["c"]})
        changed = server.get(f"/runs/{run}")
        assert changed["metadata"] == {"x": 1, "y": {"z": 2, "w": 3}, "v": 4}
        assert changed["tags"] == ["c"]

    def test_a_run_has_a_beginning_and_an_end(self, server: Server) -> None:
        run = server.new_run(status="created")
        server.put(f"/runs/{run}", {"status": "running"})
        assert TIMESTAMP.fullmatch(server.get(f"/runs/{run}")["started"])
        server.put(f"/runs/{run}", {"status": "completed", "endtime": "2040-01-02T03:04:05.000006"})
        ended = server.get(f"/runs/{run}")
        assert ended["status"] == "completed"
        assert ended["endtime"] == "2040-01-02T03:04:05.000006"

    def test_a_terminal_status_without_endtime_is_stamped(self, server: Server) -> None:
        run = server.new_run()
        server.put(f"/runs/{run}", {"status": "terminated"})
        ended = server.get(f"/runs/{run}")
        assert TIMESTAMP.fullmatch(ended["endtime"])
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6}", ended["runtime"])

    def test_nulls_of_a_staged_run_leave_things_alone(self, server: Server) -> None:
        run = server.new_run(system={"cwd": "/x"}, tags=["t"], metadata={"a": 1})
        before = server.get(f"/runs/{run}")
        nulls = dict.fromkeys(("system", "tags", "metadata", "started", "name", "alerts", "status"))
        server.put(f"/runs/{run}", {**nulls, "folder": "/tests", "unknown": 1})
        after = server.get(f"/runs/{run}")
        moving = {"modified": 0, "runtime": 0}
        assert {**after, **moving} == {**before, **moving}

    def test_a_star_comes_and_goes(self, server: Server, folder: str) -> None:
        run = server.new_run(folder=folder)
        server.put(f"/runs/{run}/starred", {"starred": True})
        assert server.get(f"/runs/{run}")["starred"] is True
        assert len(listed(server, f"folder.path == {folder}", "starred")) == 1
        server.put(f"/runs/{run}/starred", {"starred": False})
        assert listed(server, f"folder.path == {folder}", "starred") == []

    def test_a_heartbeat_never_revives_a_finished_run(self, server: Server) -> None:
        run = server.new_run()
        assert server.put(f"/runs/{run}/heartbeat") == {"abort": False}
        server.put(f"/runs/{run}", {"status": "failed"})
        server.put(f"/runs/{run}/heartbeat")
        assert server.get(f"/runs/{run}")["status"] == "failed"

    def test_an_abort_is_seen_at_once_and_cleared_by_a_restart(self, server: Server) -> None:
        run = server.new_run()
        assert server.get(f"/runs/{run}/abort") == {"status": False}
        server.put(f"/runs/{run}/abort", {"reason": "enough"})
        assert server.get(f"/runs/{run}/abort") == {"status": True}
        assert server.put(f"/runs/{run}/heartbeat") == {"abort": True}
        assert server.get(f"/runs/{run}")["status"] == "running"
        server.put(f"/runs/{run}", {"status": "running"})
        assert server.get(f"/runs/{run}/abort") == {"status": False}


class TestAbsent:
    def test_a_malformed_id_is_422_and_an_unknown_one_404(self, server: Server) -> None:
        for path in ("", "/abort", "/writers"):
            assert server.ask("GET", f"/runs/not-an-id{path}").status_code == 422
            answer = server.ask("GET", f"/runs/{wire.new_id()}{path}")
            assert answer.status_code == 404
            assert isinstance(answer.json()["detail"], str)
        unknown = wire.new_id()
        assert server.ask("PUT", f"/runs/{unknown}", json={"tags": []}).status_code == 404
        assert server.ask("PUT", f"/runs/{unknown}/heartbeat").status_code == 404
        assert server.ask("DELETE", f"/runs/{unknown}").status_code == 404

    def test_a_deleted_run_is_gone_for_readers_and_for_late_spools(self, server: Server) -> None:
        run = {"id": wire.new_id(), "folder": "/", "name": "doomed"}
        server.post("/runs", run)
        assert server.delete(f"/runs/{run['id']}") == {}, "official clients want an empty answer"
        assert server.ask("GET", f"/runs/{run['id']}").status_code == 404
        assert server.ask("POST", "/runs", json=run).status_code == 410
        for kind in ("metrics", "events"):
            answer = server.send(f"/{kind}", {"run": run["id"], kind: []})
            assert answer.status_code == 410
            assert answer.json()["detail"]

    def test_an_unknown_path_or_method_answers_json(self, server: Server) -> None:
        assert server.ask("GET", "/nothing").status_code == 404
        assert server.ask("GET", "/nothing").json()["detail"]
        assert server.ask("PATCH", "/runs").status_code == 405


class TestLists:
    def test_pages_and_their_total(self, server: Server, folder: str) -> None:
        server.post("/runs", [{"folder": folder, "name": f"r{i}"} for i in range(7)])
        query = {
            "filters": json.dumps([f"folder.path == {folder}"]),
            "sorting": json.dumps([{"id": "name", "desc": True}]),
        }
        first = server.get("/runs", start=0, count=5, return_metrics="True", **query)
        assert first["count"] == 7
        assert [run["name"] for run in first["data"]] == ["r6", "r5", "r4", "r3", "r2"]
        last = server.get("/runs", start=5, count=5, **query)
        assert last["count"] == 7
        assert [run["name"] for run in last["data"]] == ["r1", "r0"]

    def test_an_entry_is_the_whole_object(self, server: Server, folder: str) -> None:
        run = server.new_run(folder=folder, metadata={"a": 1}, tags=["t"], status="completed")
        (entry,) = server.get("/runs", filters=json.dumps([f"folder.path == {folder}"]))["data"]
        assert entry == server.get(f"/runs/{run}")
        reserved = {"identifier", "server_url", "server_token", "is_read_only"}
        assert not reserved & set(entry)

    def test_filters_find_what_the_builders_mean(self, server: Server, folder: str) -> None:
        here = f"folder.path == {folder}"
        server.new_run(folder=folder, name="fast", metadata={"beta": 3}, tags=["night run"])
        server.new_run(folder=folder, name="slow", metadata={"beta": 1.5}, status="created")
        assert listed(server, here, "name contains as") == ["fast"]
        assert listed(server, here, "metadata.beta == 3.0") == ["fast"]
        assert listed(server, here, "beta < 2") == ["slow"]
        assert listed(server, here, "has tag.night run") == ["fast"]
        assert listed(server, here, "has not tag.night run") == ["slow"]
        assert listed(server, here, "status == created") == ["slow"]
        assert sorted(listed(server, here, "user == self")) == ["fast", "slow"]
        assert sorted(listed(server, here, "created < 1h")) == ["fast", "slow"]
        assert listed(server, here, "metadata.gamma exists") == []
        assert listed(server, here, sorting='[{"id": "metadata.beta"}]') == ["slow", "fast"]

    @pytest.mark.parametrize(
        "query",
        [
            {"filters": '["== Linux"]'},
            {"filters": '["system.platform.system !="]'},
            {"filters": "[1]"},
            {"filters": "["},
            {"sorting": '[{"id": "secret; drop table"}]'},
            {"sorting": "{}"},
            {"sorting": "["},
            {"start": "-1"},
            {"start": "9" * 30},
            {"count": "many"},
        ],
        ids=str,
    )
    def test_a_bad_query_is_422_with_its_place(self, server: Server, query: dict[str, str]) -> None:
        answer = server.ask("GET", "/runs", params=query)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "query"

    def test_odd_but_known_queries_are_taken(self, server: Server) -> None:
        for query in (
            {"offline": "False", "sort_by": "created", "checksum": "True"},
            {"filters": ""},
            {"filters": "starred"},
            {"filters": ["starred", "status == lost"]},
            {"count": 100_000},
            {"filters": '["system.gpu.processor == None"]'},
            {"filters": '["created < 99999y"]'},
            {"sorting": '[{"id": "metrics.loss.last", "desc": true}]'},
        ):
            server.get("/runs", **query)


class TestFolders:
    def test_a_folder_and_its_parents_are_made_once(self, server: Server, folder: str) -> None:
        path = f"{folder}/a/b"
        made = server.post("/folders", {"path": path, "metadata": {"k": 1}, "tags": ["x"]})
        again = server.ask("POST", "/folders", json={"path": path, "metadata": {"k": 2}})
        assert again.status_code == 409
        assert again.json()["id"] == made["id"]
        found = server.get(f"/folders/{made['id']}")
        assert found["path"] == path
        assert found["metadata"] == {"k": 1}
        assert found["tags"] == ["x"]
        assert {"id", "created", "ttl"} <= set(found)
        (parent,) = server.get("/folders", filters=json.dumps([f"path == {folder}/a"]))["data"]
        assert parent["path"] == f"{folder}/a"
        below = server.get("/folders", filters=json.dumps([f"path contains {folder}"]))
        assert below["count"] == 3

    def test_an_update_merges_and_stars(self, server: Server, folder: str) -> None:
        made = server.post("/folders", {"path": folder, "metadata": {"a": 1}})["id"]
        server.put(f"/folders/{made}", {"metadata": {"b": 2}, "tags": ["t"], "description": "d"})
        server.put(f"/folders/{made}/starred", {"starred": True})
        found = server.get(f"/folders/{made}")
        assert found["metadata"] == {"a": 1, "b": 2}
        assert (found["tags"], found["description"], found["starred"]) == (["t"], "d", True)

    def test_deleting_obeys_its_flags(self, server: Server, folder: str) -> None:
        run = server.new_run(folder=folder)
        (found,) = server.get("/folders", filters=json.dumps([f"path == {folder}"]))["data"]
        where = f"/folders/{found['id']}"
        bare = server.ask(
            "DELETE", where, params={"recursive": "False", "runs": "False", "runs_only": "False"}
        )
        assert 400 <= bare.status_code < 500
        assert bare.json()["detail"]
        kept = server.delete(where, recursive="False", runs="True", runs_only="True")
        assert kept["runs"] == [run]
        assert server.get(where)["path"] == folder
        second = server.new_run(folder=folder)
        gone = server.delete(where, recursive="True", runs="True", runs_only="False")
        assert found["id"] in gone["folders"]
        assert gone["runs"] == [second]
        assert server.ask("GET", where).status_code == 404
        assert server.ask("DELETE", where).status_code == 404

    def test_bad_folders_are_refused(self, server: Server) -> None:
        assert server.ask("POST", "/folders", json={"path": "x"}).status_code == 422
        assert server.ask("GET", "/folders/short").status_code == 422
        assert server.ask("GET", f"/folders/{wire.new_id()}").status_code == 404


class TestTags:
    def test_tags_of_runs_appear_by_themselves(self, server: Server) -> None:
        name = wire.new_id()
        run = server.new_run(tags=[name])
        sorting = '[{"id": "created", "desc": true}]'
        tags = server.get("/tags", count=100, start=0, sorting=sorting)["data"]
        tag = next(tag for tag in tags if tag["name"] == name)
        assert tag["colour"]
        assert tag["description"] == ""
        server.put(f"/tags/{tag['id']}", {"colour": "#ff0000", "description": "red"})
        found = server.get(f"/tags/{tag['id']}")
        assert (found["colour"], found["description"]) == ("#ff0000", "red")
        server.delete(f"/tags/{tag['id']}")
        assert server.ask("GET", f"/tags/{tag['id']}").status_code == 404
        assert server.get(f"/runs/{run}")["tags"] == []

    def test_a_name_is_made_once(self, server: Server) -> None:
        name = wire.new_id()
        made = server.post("/tags", {"name": name, "colour": "#00ff00"})
        again = server.ask("POST", "/tags", json={"name": name})
        assert again.status_code == 409
        assert again.json()["id"] == made["id"]
        other = server.post("/tags", {"name": wire.new_id()})
        renamed = server.ask("PUT", f"/tags/{other['id']}", json={"name": name})
        assert renamed.status_code == 422, "409 would be a success to official clients"
