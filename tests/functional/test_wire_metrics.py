"""Metric rows in, series out (wire.md sections 8.2 and 19)."""

from __future__ import annotations

import json
import math
import struct
import threading
from typing import Any

import msgpack
import numpy as np
import pytest
from fix_server import Server, good

from simvue import wire

START_US = 1_767_225_600_000_000  # 2026-01-01


def row(step: int, values: dict[str, Any], time: float | None = None) -> dict[str, Any]:
    return {
        "values": values,
        "time": float(step) if time is None else time,
        "timestamp": wire.format_timestamp(START_US + step * 1_000_003 + 1),
        "step": step,
    }


def points(server: Server, run: str, name: str, **query: Any) -> list[tuple[Any, Any]]:
    query = {"xaxis": "step", **query}
    answer = server.get("/metrics", runs=json.dumps([run]), metrics=json.dumps([name]), **query)
    return [(point[query["xaxis"]], point["value"]) for point in answer.get(run, {}).get(name, [])]


def series(server: Server, run: str, *names: str, **query: Any) -> Any:
    query["metrics"] = json.dumps(names)
    answer = server.ask("GET", f"/runs/{run}/series", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == wire.MSGPACK
    return msgpack.unpackb(answer.content)


class TestIngest:
    def test_rows_come_back_as_they_were_logged(self, server: Server) -> None:
        run = server.new_run()
        rows = [row(i, {"a": i / 3, "b": i}, time=i - 2.5) for i in range(100)]
        assert server.send_rows(run, rows) == {"stored": 100, "abort": False}
        assert points(server, run, "a") == [(i, i / 3) for i in range(100)]
        assert points(server, run, "b") == [(i, i) for i in range(100)]
        assert points(server, run, "a", xaxis="time") == [(i - 2.5, i / 3) for i in range(100)]
        assert points(server, run, "a", xaxis="timestamp")[1] == (rows[1]["timestamp"], 1 / 3)

    def test_what_was_sent_twice_is_stored_once(self, server: Server) -> None:
        run, writer = server.new_run(), wire.new_id()
        rows = [row(i, {"a": float(i)}) for i in range(30)]
        assert server.send_rows(run, rows[10:20], writer, 10)["stored"] == 10
        assert server.send_rows(run, rows[10:20], writer, 10)["stored"] == 0
        assert server.get(f"/runs/{run}/writers") == {writer: [[10, 20]]}
        assert server.send_rows(run, rows[:15], writer, 0)["stored"] == 10, "another cut"
        assert server.send_rows(run, rows[25:], writer, 25)["stored"] == 5, "a gap"
        assert server.get(f"/runs/{run}/writers") == {writer: [[0, 20], [25, 30]]}
        assert server.send_rows(run, rows, writer, 0)["stored"] == 5
        assert server.get(f"/runs/{run}/writers") == {writer: [[0, 30]]}
        assert points(server, run, "a") == [(i, float(i)) for i in range(30)]

    def test_a_retry_of_an_official_client_is_stored_once(self, server: Server) -> None:
        run = server.new_run()
        body = {"run": run, "metrics": [row(i, {"a": 1.0}) for i in range(5)]}
        assert good(server.send("/metrics", body))["stored"] == 5
        assert good(server.send("/metrics", body))["stored"] == 0
        assert server.get(f"/runs/{run}")["metrics"]["a"]["count"] == 5

    def test_equal_bodies_in_whole_seconds_are_two_bodies(self, server: Server) -> None:
        run = server.new_run()
        when = wire.format_timestamp(START_US)
        body = {"run": run, "metrics": [{**row(1, {"a": 1.0}), "timestamp": when}]}
        for _ in range(2):
            assert good(server.send("/metrics", body))["stored"] == 1

    def test_the_answer_says_that_the_run_shall_abort(self, server: Server) -> None:
        run = server.new_run()
        server.put(f"/runs/{run}/abort", {"reason": "enough"})
        assert server.send_rows(run, [row(0, {"a": 1})])["abort"] is True

    def test_a_body_of_no_rows_is_taken(self, server: Server) -> None:
        assert server.send_rows(server.new_run(), []) == {"stored": 0, "abort": False}

    def test_rows_of_a_finished_run_are_taken_and_change_no_state(self, server: Server) -> None:
        run = server.new_run()
        server.put(f"/runs/{run}", {"status": "completed"})
        assert server.send_rows(run, [row(0, {"a": 1})])["stored"] == 1
        assert server.get(f"/runs/{run}")["status"] == "completed"

    def test_many_senders_at_once_lose_nothing(self, server: Server) -> None:
        run = server.new_run()
        writers = [wire.new_id() for _ in range(8)]

        def send(writer: str) -> None:
            for first in range(0, 200, 20):
                server.send_rows(run, [row(i, {writer: i}) for i in range(first, first + 20)],
                                 writer, first)  # fmt: skip

        threads = [threading.Thread(target=send, args=(writer,)) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.get(f"/runs/{run}/writers") == {writer: [[0, 200]] for writer in writers}
        summaries = server.get(f"/runs/{run}")["metrics"]
        assert {name: summaries[name]["count"] for name in writers} == dict.fromkeys(writers, 200)

    @pytest.mark.parametrize(
        "headers",
        [
            {wire.WRITER_HEADER: "W" * 22},
            {wire.ROWS_HEADER: "0-2"},
            {wire.WRITER_HEADER: "short", wire.ROWS_HEADER: "0-2"},
            {wire.WRITER_HEADER: "W" * 22, wire.ROWS_HEADER: "0-3"},
            {wire.WRITER_HEADER: "W" * 22, wire.ROWS_HEADER: "2-0"},
            {wire.WRITER_HEADER: "W" * 22, wire.ROWS_HEADER: "0:2"},
            {wire.WRITER_HEADER: "W" * 22, wire.ROWS_HEADER: "0-99999999999999999999"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("kind", ["metrics", "events"])
    def test_wrong_row_numbers_store_nothing(
        self, server: Server, kind: str, headers: dict[str, str]
    ) -> None:
        run = server.new_run()
        item = row(0, {"a": 1}) if kind == "metrics" else {"message": "m"}
        answer = server.send(f"/{kind}", {"run": run, kind: [item, item]}, headers)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "header"
        assert server.get(f"/runs/{run}")["metrics"] == {}
        assert server.get("/events", run=run, count=0, start=0)["count"] == 0

    def test_a_malformed_run_id_is_422_and_an_unknown_one_404(self, server: Server) -> None:
        body: dict[str, Any] = {"run": "invalid_run_id", "metrics": [row(0, {"a": 1})]}
        answer = server.send("/metrics", body)
        assert answer.status_code == 422
        assert answer.json()["detail"]
        body["run"] = wire.new_id()
        assert server.send("/metrics", body).status_code == 404

    @pytest.mark.parametrize(
        "body",
        [b"", b"\xc1", b"\x90", b"{}", b"\x82\xa3run", b"\xdf\xff\xff\xff\xff", b"\x91" * 100_000],
        ids=lambda body: repr(body[:8]),
    )
    @pytest.mark.parametrize("kind", ["metrics", "events"])
    def test_noise_is_refused_in_words(self, server: Server, kind: str, body: bytes) -> None:
        answer = server.send(f"/{kind}", body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["msg"]

    def test_one_bad_row_refuses_its_body_whole_if_its_rows_are_numbered(
        self, server: Server
    ) -> None:
        run = server.new_run()
        body = {"run": run, "metrics": [row(0, {"a": 1}), {"values": 7}]}
        headers = {wire.WRITER_HEADER: wire.new_id(), wire.ROWS_HEADER: "0-2"}
        assert server.send("/metrics", body, headers).status_code == 422
        assert server.get(f"/runs/{run}")["metrics"] == {}

    def test_one_bad_row_of_an_official_client_spares_the_others(self, server: Server) -> None:
        """At a refusal that client sends nothing of the run ever again, and says so to nobody."""
        run = server.new_run()
        bad: list[Any] = [
            {"values": 7}, 7, row(-1, {"a": 1}), row(1, {"b;": 1}), row(1, {"a": "text"}),
        ]  # fmt: skip
        rows = [row(0, {"a": 0.5}), *bad, row(2, {"a": 2.5})]
        body = {"run": run, "metrics": rows}
        assert good(server.send("/metrics", body)) == {"stored": 2, "abort": False, "refused": 5}
        assert points(server, run, "a") == [(0, 0.5), (2, 2.5)]
        body["run"] = "invalid_run_id"
        assert server.send("/metrics", body).status_code == 422

    def test_what_is_salvaged_is_bounded(self, server: Server) -> None:
        """One by one 16,000 rows take a moment; two million would keep a core for a minute."""
        run = server.new_run()
        for count, status in ((16_000, 200), (2_000_000, 422)):
            body = b"\x82\xa3run\xb6%b\xa7metrics\xdd%b%b" % (
                run.encode(),
                count.to_bytes(4, "big"),
                b"\x80" * count,
            )
            assert server.send("/metrics", body).status_code == status

    def test_a_body_that_is_too_large_is_413(self, server: Server) -> None:
        announced = server.send("/metrics", bytes(wire.BODY_SIZE_MAX + (1 << 20)))
        assert announced.status_code == 413
        assert announced.json()["detail"]
        chunks = (bytes(1 << 20) for _ in range((wire.BODY_SIZE_MAX >> 20) + 1))
        assert server.ask("POST", "/metrics", data=chunks).status_code == 413
        server.get("/whoami")

    def test_a_body_in_chunks_is_stored(self, server: Server) -> None:
        run = server.new_run()
        body = msgpack.packb({"run": run, "metrics": [row(0, {"a": 1.5})]})
        good(server.ask("POST", "/metrics", data=iter([body[:7], body[7:]])))
        assert points(server, run, "a") == [(0, 1.5)]

    def test_compressed_bodies_are_refused_in_words(self, server: Server) -> None:
        answer = server.send("/metrics", b"x", {"Content-Encoding": "gzip"})
        assert answer.status_code == 415
        assert "gzip" in answer.json()["detail"]


class TestValues:
    def test_non_finite_values_are_bare_tokens(self, server: Server) -> None:
        run = server.new_run()
        values = [math.nan, math.inf, -math.inf, 1.0]
        server.send_rows(run, [row(i, {"a": value}) for i, value in enumerate(values)])
        found = [value for _, value in points(server, run, "a")]
        assert math.isnan(found[0])
        assert found[1:] == [math.inf, -math.inf, 1.0]

    def test_points_ascend_and_no_x_comes_twice(self, server: Server) -> None:
        run = server.new_run()
        late = {**row(3, {"a": 30.0}), "timestamp": wire.format_timestamp(START_US + 10**9)}
        server.send_rows(run, [row(5, {"a": 5.0}), late, row(1, {"a": 1.0}), row(3, {"a": 3.0})])
        assert points(server, run, "a") == [(1, 1.0), (3, 30.0), (5, 5.0)]

    def test_exact_integers_and_booleans(self, server: Server) -> None:
        run = server.new_run()
        values = [2**63 - 1, -(2**63), 2**64 - 1, True, 0.5]
        server.send_rows(run, [row(i, {"a": value}) for i, value in enumerate(values)])
        assert [value for _, value in points(server, run, "a")] == [
            2**63 - 1,
            -(2**63),
            2**64 - 1,
            1,
            0.5,
        ]

    def test_max_points_bounds_and_keeps_the_extremes(self, server: Server) -> None:
        run = server.new_run()
        values = [math.sin(i / 50) for i in range(5000)]
        values[1234], values[4321] = 99.0, -99.0
        server.send_rows(run, [row(i, {"a": value}) for i, value in enumerate(values)])
        everything = points(server, run, "a", max_points=5000)
        assert everything == list(enumerate(values))
        few = points(server, run, "a", max_points=200)
        assert 100 <= len(few) <= 200
        steps = [x for x, _ in few]
        assert steps == sorted(set(steps))
        assert (1234, 99.0) in few
        assert (4321, -99.0) in few
        assert all(values[x] == value for x, value in few), "every point was logged"

    def test_several_runs_and_metrics_without_those_that_have_none(self, server: Server) -> None:
        first, second = server.new_run(), server.new_run()
        server.send_rows(first, [row(0, {"a": 1.0, "b": 2.0})])
        server.send_rows(second, [row(0, {"a": 3.0})])
        runs = json.dumps([first, second, wire.new_id(), "offline_1"])
        answer = server.get("/metrics", runs=runs, metrics='["a", "b", "c"]', xaxis="step")
        assert answer == {
            first: {"a": [{"step": 0, "value": 1.0}], "b": [{"step": 0, "value": 2.0}]},
            second: {"a": [{"step": 0, "value": 3.0}]},
        }
        assert server.get("/metrics", runs=runs, metrics='["c"]', xaxis="step") == {}

    def test_aggregates_join_runs_at_equal_x(self, server: Server) -> None:
        runs = [server.new_run(), server.new_run()]
        server.send_rows(runs[0], [row(i, {"a": float(i)}) for i in range(4)])
        server.send_rows(runs[1], [row(i, {"a": 10.0 * i}) for i in range(2, 6)])
        query = {"runs": json.dumps(runs), "metrics": '["a"]', "xaxis": "step", "aggregate": "True"}
        assert server.get("/metrics", **query) == {
            "a": [
                {"step": 0, "average": 0.0, "min": 0.0, "max": 0.0},
                {"step": 1, "average": 1.0, "min": 1.0, "max": 1.0},
                {"step": 2, "average": 11.0, "min": 2.0, "max": 20.0},
                {"step": 3, "average": 16.5, "min": 3.0, "max": 30.0},
                {"step": 4, "average": 40.0, "min": 40.0, "max": 40.0},
                {"step": 5, "average": 50.0, "min": 50.0, "max": 50.0},
            ]
        }
        few = server.get("/metrics", **query, max_points=3)["a"]
        assert [point["max"] for point in few] == [1.0, 30.0, 50.0]
        assert [point["min"] for point in few] == [0.0, 2.0, 40.0]

    def test_names_are_the_sorted_union(self, server: Server) -> None:
        first, second = server.new_run(), server.new_run()
        server.send_rows(first, [row(0, {"b/x": 1, "a": 1})])
        server.send_rows(second, [row(0, {"c": 1, "a": 1})])
        runs = json.dumps([first, second, "offline_x"])
        assert server.get("/metrics/names", runs=runs) == ["a", "b/x", "c"]

    def test_the_span_of_runs(self, server: Server) -> None:
        run = server.new_run()
        server.send_rows(run, [row(i, {"a": 1}, time=i / 2) for i in range(3, 8)])
        span = good(server.ask("GET", "/metrics/span", json=[run]))
        assert (span["min_step"], span["max_step"]) == (3, 7)
        assert (span["min_time"], span["max_time"]) == (1.5, 3.5)
        assert span["min_timestamp"] < span["max_timestamp"]

    def test_summaries_come_with_the_run(self, server: Server) -> None:
        run = server.new_run()
        server.send_rows(run, [row(i, {"a": float(i)}) for i in range(5)])
        summary = server.get(f"/runs/{run}")["metrics"]["a"]
        assert (summary["count"], summary["min"], summary["max"], summary["last"]) == (5, 0, 4, 4)
        assert summary["average"] == 2
        assert (summary["step"], summary["time"]) == (4, 4.0)

    @pytest.mark.parametrize(
        "query",
        [
            {"xaxis": "phase"},
            {"runs": "x"},
            {"runs": "{}"},
            {"metrics": "[1]"},
            {"max_points": "-1"},
            {"max_points": "x"},
            {"aggregate": "perhaps"},
            {"aggregate": "True", "xaxis": "timestamp"},
        ],
        ids=str,
    )
    def test_a_bad_query_is_422(self, server: Server, query: dict[str, str]) -> None:
        whole = {"runs": "[]", "metrics": '["a"]', "xaxis": "step", **query}
        answer = server.ask("GET", "/metrics", params=whole)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "query"


class TestSeries:
    def test_every_row_in_columns(self, server: Server) -> None:
        run = server.new_run()
        rows = [row(i // 2, {"a": math.nan if i == 3 else i / 7, "b": i}, time=i / 4)
                for i in range(10)]  # fmt: skip
        server.send_rows(run, rows)
        answer = series(server, run, "a", "b", "absent")
        assert set(answer) == {"a", "b"}
        a, b = answer["a"], answer["b"]
        assert np.frombuffer(a["step"], "<i8").tolist() == [i // 2 for i in range(10)]
        assert np.frombuffer(a["time"], "<f8").tolist() == [i / 4 for i in range(10)]
        stamps = np.frombuffer(a["timestamp"], "<i8").tolist()
        assert stamps == [START_US + (i // 2) * 1_000_003 + 1 for i in range(10)]
        expected = [math.nan if i == 3 else i / 7 for i in range(10)]
        assert a["kinds"] == "f"
        np.testing.assert_array_equal(np.frombuffer(a["values"], "<f8"), expected)
        assert b["kinds"] == "i"
        assert np.frombuffer(b["values"], "<i8").tolist() == list(range(10))

    def test_mixed_kinds_have_a_byte_a_row(self, server: Server) -> None:
        run = server.new_run()
        values = [0.5, -3, 2**64 - 1, True]
        server.send_rows(run, [row(i, {"a": value}) for i, value in enumerate(values)])
        answer = series(server, run, "a")["a"]
        assert list(answer["kinds"]) == [0, 1, 2, 3]
        words = [answer["values"][i : i + 8] for i in range(0, 32, 8)]
        assert struct.unpack("<d", words[0]) == (0.5,)
        assert struct.unpack("<q", words[1]) == (-3,)
        assert struct.unpack("<Q", words[2]) == (2**64 - 1,)
        assert struct.unpack("<Q", words[3]) == (1,)

    def test_buckets_hold_the_extremes_and_count_every_row(self, server: Server) -> None:
        run = server.new_run()
        values = [math.cos(i / 30) for i in range(3000)]
        values[777], values[2000] = 50.0, math.nan
        server.send_rows(run, [row(i, {"a": value}) for i, value in enumerate(values)])
        for xaxis, scale in (("step", 1), ("time", 1), ("timestamp", 1_000_003)):
            cut = series(server, run, "a", xaxis=xaxis, max_points=100)["a"]
            floats = {
                name: np.frombuffer(cut[name], "<f8")
                for name in ("first", "last", "min", "max", "x_first", "x_last", "x_min", "x_max")
            }
            counts = np.frombuffer(cut["count"], "<i8")
            assert counts.size <= 100
            assert counts.sum() == 3000
            assert np.frombuffer(cut["nonfinite"], "<i8").sum() == 1
            peak = int(np.nanargmax(floats["max"]))
            assert floats["max"][peak] == 50.0
            origin = START_US + 1 if xaxis == "timestamp" else 0
            assert floats["x_max"][peak] == origin + 777 * scale
            assert floats["first"][0] == 1.0
            assert floats["x_first"][0] == origin

    def test_buckets_lie_along_another_metric_and_on_a_logarithmic_axis(
        self, server: Server
    ) -> None:
        run = server.new_run()
        rows = [row(i, {"a": float(i), "b": 2.0**i}) for i in range(20)]
        server.send_rows(run, [*rows, row(20, {"a": 20.0}), row(21, {"a": 21.0, "b": math.nan})])
        assert "axes" in server.get("/version")["features"]
        cut = series(server, run, "a", xaxis="metric:b", xscale="log", max_points=10)["a"]
        assert np.frombuffer(cut["count"], "<i8").tolist() == [2] * 10
        assert np.frombuffer(cut["first"], "<f8").tolist() == list(range(0, 20, 2))
        assert np.frombuffer(cut["x_first"], "<f8").tolist() == [4.0**i for i in range(10)]
        assert cut["left_out"] == 2
        linear = series(server, run, "a", xaxis="metric:b", max_points=2)["a"]
        assert np.frombuffer(linear["count"], "<i8").tolist() == [19, 1]
        by_step = series(server, run, "a", xaxis="step", xscale="log", max_points=4)["a"]
        # Each edge is 2.14 times the one before: 1 and 2, 3 and 4, 5 to 9, 10 to 21.
        assert np.frombuffer(by_step["count"], "<i8").tolist() == [2, 2, 5, 12]
        assert by_step["left_out"] == 1

    def test_a_zoom_asks_for_part_of_the_axis(self, server: Server) -> None:
        run = server.new_run()
        server.send_rows(run, [row(i, {"a": float(i)}) for i in range(1000)])
        part = series(server, run, "a", xaxis="step", start=100, end=199)["a"]
        assert np.frombuffer(part["step"], "<i8").tolist() == list(range(100, 200))
        cut = series(server, run, "a", xaxis="step", start=100, end=199, max_points=10)["a"]
        assert np.frombuffer(cut["count"], "<i8").sum() == 100
        assert np.frombuffer(cut["min"], "<f8").min() == 100.0
        assert np.frombuffer(cut["max"], "<f8").max() == 199.0

    @pytest.mark.parametrize(
        "query",
        [
            {"metrics": "a"},
            {"xaxis": "phase"},
            {"xaxis": "metric:a"},
            {"xscale": "sqrt", "max_points": "9"},
            {"max_points": "-1"},
            {"max_points": "9" * 12},
            {"start": "x"},
            {"end": "nan"},
        ],
        ids=str,
    )
    def test_a_bad_query_is_422(self, server: Server, query: dict[str, str]) -> None:
        run = server.new_run()
        whole = {"metrics": '["a"]', **query}
        answer = server.ask("GET", f"/runs/{run}/series", params=whole)
        assert answer.status_code == 422
        assert server.ask("GET", "/runs/x/series", params={"metrics": "[]"}).status_code == 422
