"""Grids and arrays over HTTP, as the official clients speak (wire.md 8.3)."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from fix_server import Server, good

from simvue import wire

NAMES = ["flow", "a/b/values", "x y", "100%", "span", "values"]


@pytest.fixture
def grid(server: Server) -> str:
    """A grid of three by two."""
    return new_grid(server, [[0.0, 0.5, 1.0], [10.0, 20.0]])


def new_grid(server: Server, axes: list[list[float]], name: str = "mesh") -> str:
    labels = ["x", "y"][: len(axes)]
    made: str = server.post("/grids", {"name": name, "grid": axes, "labels": labels})["id"]
    return made


def row(grid: str, step: int = 0, **members: Any) -> dict[str, Any]:
    return {
        "time": step / 2,
        "timestamp": f"2026-01-01T00:00:{step % 60:02}.000001",
        "step": step,
        "array": [[step, 2.5, 3.0], [4.0, 5.0, 6.0]],
        "grid": grid,
        "metric": "flow",
        **members,
    }


def send(server: Server, run: str, *rows: Any, **headers: str) -> Any:
    return server.send(f"/runs/{run}/metrics", list(rows), headers)


class TestGrids:
    def test_ticks_come_back_exactly(self, server: Server) -> None:
        ticks = [[0.1, 1 / 3, 1e300], [-0.0, 7.0]]
        found = server.get(f"/grids/{new_grid(server, ticks)}")
        assert found["grid"] == ticks
        assert (found["name"], found["labels"]) == ("mesh", ["x", "y"])

    def test_many_grids_may_have_one_name(self, server: Server) -> None:
        one, other = (new_grid(server, [[1.0, 2.0]], "same") for _ in range(2))
        assert {one, other} <= {grid["id"] for grid in server.get("/grids", count=100)["data"]}

    @pytest.mark.parametrize(
        "change",
        [
            {"grid": []},
            {"grid": [[]]},
            {"grid": [[1.0]] * 3},
            {"grid": [[2.0, 1.0]]},
            {"grid": [["1"]]},
            {"labels": []},
            {"labels": ["x", "y"]},
            {"name": ""},
        ],
    )
    def test_a_grid_that_is_none_is_refused(self, server: Server, change: Any) -> None:
        body = {"name": "n", "grid": [[1.0, 2.0]], "labels": ["x"], **change}
        assert server.ask("POST", "/grids", json=body).status_code == 422

    def test_a_grid_goes_when_nobody_uses_it(self, server: Server, grid: str) -> None:
        run = server.new_run()
        server.put(f"/runs/{run}/grids/{grid}", {"metric": "flow"})
        assert server.ask("DELETE", f"/grids/{grid}").status_code == 409
        server.delete(f"/runs/{run}")
        server.delete(f"/grids/{grid}")
        assert server.ask("GET", f"/grids/{grid}").status_code == 404
        assert server.ask("DELETE", f"/grids/{grid}").status_code == 404

    def test_a_run_knows_its_grids(self, server: Server, grid: str) -> None:
        run = server.new_run()
        assert server.get(f"/runs/{run}/grids") == []
        for _ in range(2):
            server.put(f"/runs/{run}/grids/{grid}", {"metric": "flow"})
        found = server.get(f"/runs/{run}/grids")
        assert [(one["id"], one["metric"]) for one in found] == [(grid, "flow")]
        absent = wire.new_id()
        for path in (f"/runs/{run}/grids/{absent}", f"/runs/{absent}/grids/{grid}"):
            assert server.ask("PUT", path, json={"metric": "flow"}).status_code == 404


class TestArrays:
    @pytest.mark.parametrize("name", NAMES)
    def test_an_array_is_there_when_the_answer_is(
        self, server: Server, grid: str, name: str
    ) -> None:
        run = server.new_run()
        answer = send(server, run, row(grid, 3, metric=name), row(grid, 4, metric=name))
        assert good(answer) == {"stored": 2, "abort": False}
        path = f"/runs/{run}/metrics/{name.replace('%', '%25')}"
        found = server.get(f"{path}/values", step=3, count=100, start=0)
        assert found["array"] == [[3, 2.5, 3.0], [4.0, 5.0, 6.0]]
        assert (found["step"], found["time"], found["grid"]) == (3, 1.5, grid)
        assert server.get(f"{path}/values")["step"] == 4
        (span,) = server.get(f"{path}/span")
        assert (span["count"], span["min_step"], span["max_step"]) == (2, 3, 4)
        assert (span["min_time"], span["max_time"]) == (1.5, 2.0)
        assert span["max_timestamp"] == "2026-01-01T00:00:04.000001"

    def test_one_axis_makes_a_flat_array_and_integers_stay_integers(self, server: Server) -> None:
        run, line = server.new_run(), new_grid(server, [[1.0, 2.0, 3.0]])
        good(send(server, run, row(line, array=[1, 2**53 + 1, -3])))
        answer = server.ask("GET", f"/runs/{run}/metrics/flow/values", params={"step": 0})
        assert '"array":[1,9007199254740993,-3]' in answer.text

    def test_of_two_arrays_at_a_step_the_later_is_shown(self, server: Server, grid: str) -> None:
        run = server.new_run()
        later = row(grid, array=[[9, 9, 9], [9, 9, 9]], timestamp="2026-01-01T00:00:30.000001")
        good(send(server, run, later, row(grid)))
        assert server.get(f"/runs/{run}/metrics/flow/values", step=0)["array"][0] == [9, 9, 9]

    def test_what_is_not_there_is_said(self, server: Server, grid: str) -> None:
        run = server.new_run()
        path = f"/runs/{run}/metrics/flow"
        assert server.ask("GET", f"{path}/values").status_code == 404
        assert server.get(f"{path}/span") == []
        good(send(server, run, row(grid, 1)))
        assert server.ask("GET", f"{path}/values", params={"step": 2}).status_code == 404
        assert server.ask("GET", f"{path}/values", params={"step": "x"}).status_code == 422
        assert server.ask("GET", f"{path}/else").status_code == 404
        assert server.ask("GET", f"/runs/{wire.new_id()}/metrics/flow/values").status_code == 404

    def test_numbered_rows_are_stored_once(self, server: Server, grid: str) -> None:
        run, writer = server.new_run(), wire.new_id()

        def numbered(first: int, end: int) -> Any:
            headers = {
                wire.WRITER_HEADER: writer,
                wire.ROWS_HEADER: wire.rows_header(first, end),
            }
            rows = [row(grid, step) for step in range(first, end)]
            return good(server.send(f"/runs/{run}/metrics", rows, headers))["stored"]

        assert numbered(0, 3) == 3
        assert numbered(0, 3) == 0
        assert numbered(2, 5) == 2
        assert server.get(f"/runs/{run}/metrics/flow/span")[0]["count"] == 5
        assert server.get(f"/runs/{run}/writers")[writer] == [[0, 5]]

    def test_a_body_sent_twice_by_an_official_client_is_stored_once(
        self, server: Server, grid: str
    ) -> None:
        one, other = server.new_run(), server.new_run()
        body = msgpack.packb([row(grid)])
        stored = [good(send_raw(server, run, body))["stored"] for run in (one, one, other)]
        assert stored == [1, 0, 1]

    def test_a_wrong_row_costs_itself_alone_unless_rows_are_numbered(
        self, server: Server, grid: str
    ) -> None:
        run = server.new_run()
        rows = [row(grid), row(grid, array=["no number"]), row(grid, 1)]
        assert good(send(server, run, *rows)) == {"stored": 2, "abort": False, "refused": 1}
        headers = {wire.WRITER_HEADER: wire.new_id(), wire.ROWS_HEADER: "0-3"}
        answer = server.send(f"/runs/{run}/metrics", rows, headers)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][:2] == ["body", 1]

    @pytest.mark.parametrize("shape", [[[1.0, 2.0]] * 3, [1.0] * 6, [[1.0] * 3]])
    def test_an_array_that_does_not_fit_its_grid_is_refused(
        self, server: Server, grid: str, shape: Any
    ) -> None:
        run = server.new_run()
        answer = send(server, run, row(grid), row(grid, array=shape))
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["msg"].startswith("row 1: ")
        assert server.get(f"/runs/{run}/metrics/flow/span") == []

    def test_unknown_grids_and_runs_are_refused(self, server: Server, grid: str) -> None:
        run = server.new_run()
        assert send(server, run, row(wire.new_id())).status_code == 422
        assert send(server, wire.new_id(), row(grid)).status_code == 404
        assert send(server, "short", row(grid)).status_code == 422
        server.delete(f"/runs/{run}")
        assert send(server, run, row(grid)).status_code == 410

    def test_arrays_are_a_sign_of_life_and_tell_of_an_abort(
        self, server: Server, grid: str
    ) -> None:
        run = server.new_run()
        server.put(f"/runs/{run}/abort", {"reason": "enough"})
        assert good(send(server, run, row(grid)))["abort"] is True

    def test_the_largest_body_of_an_official_client_is_taken(self, server: Server) -> None:
        """A million elements; each array of the fifty thousand that one may have."""
        run, line = server.new_run(), new_grid(server, [list(map(float, range(50_000)))])
        array = [i / 3 for i in range(50_000)]
        rows = [row(line, step, array=array) for step in range(20)]
        assert good(send(server, run, *rows))["stored"] == 20
        assert server.get(f"/runs/{run}/metrics/flow/values", step=7)["array"] == array


def send_raw(server: Server, run: str, body: bytes) -> Any:
    return server.send(f"/runs/{run}/metrics", body)
