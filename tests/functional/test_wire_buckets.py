"""Buckets of many series in one answer: what each source would be answered by itself."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import numpy as np
import pytest
from fix_server import Server

ROWS = 40
COLUMNS = ("count", "nonfinite", "first", "last", "min", "max", "x_first", "x_last")


def rows(first: float) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "time": float(step),
            "timestamp": f"2026-01-31T12:00:{step:02d}.000000",
            "values": {"a": first + step, "b": -first - step},
        }
        for step in range(ROWS)
    ]


def buckets(server: Server, sources: list[Any], **query: Any) -> list[Any]:
    """Return what is answered for each source: by metric and column, lists of numbers."""
    asked = {"metrics": '["a","b"]', "max_points": 8, "sources": json.dumps(sources), **query}
    answer = server.ask("GET", "/metrics/buckets", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[Any] = msgpack.unpackb(answer.content)
    for one in found:
        if isinstance(one, dict):
            for name, cut in one.items():
                table = np.frombuffer(cut["columns"], "<f8").reshape(len(COLUMNS), -1)
                columns = dict(zip(COLUMNS, table.tolist(), strict=True))
                one[name] = {**columns, "left_out": cut["left_out"]}
    return found


def alone(server: Server, run: str, **query: Any) -> Any:
    """Return the same of one run, from the route that answers for it alone."""
    asked = {"metrics": '["a","b"]', "max_points": 8, **query}
    found = msgpack.unpackb(server.ask("GET", f"/runs/{run}/series", params=asked).content)
    for name, cut in found.items():
        kinds = {column: "<i8" if column in COLUMNS[:2] else "<f8" for column in COLUMNS}
        columns = {
            column: np.frombuffer(cut[column], kind).tolist() for column, kind in kinds.items()
        }
        found[name] = {**columns, "left_out": cut["left_out"]}
    return found


@pytest.mark.parametrize(
    "query",
    [{}, {"xaxis": "timestamp"}, {"xscale": "log"}, {"end": 20}, {"xaxis": "metric:b"}],
    ids=str,
)
def test_each_source_is_answered_in_its_place_as_it_is_by_itself(
    server: Server, query: dict[str, Any]
) -> None:
    runs = [server.new_run() for _ in range(3)]
    for i, run in enumerate(runs):
        server.send_rows(run, rows(100.0 * i))
    found = buckets(server, [[run, None, None] for run in runs], **query)
    assert found == [alone(server, run, **query) for run in runs]
    assert len({one["a"]["first"][0] for one in found}) == 3


def test_each_source_begins_where_it_says(server: Server) -> None:
    run = server.new_run()
    server.send_rows(run, rows(0.0))
    found = buckets(server, [[run, None, start] for start in (None, 10, 30.5, 99)])
    assert found == [
        *(alone(server, run, start=start) for start in ("", 10, 30.5)),
        alone(server, run, start=99),
    ]
    assert found[3]["a"]["count"] == []


def test_ranks_of_one_run_are_sources_of_their_own(server: Server) -> None:
    run = server.new_run()
    for rank in range(2):
        writer = f"B{rank}".ljust(22, "x")
        server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
        server.send_rows(run, rows(7.0 * rank), writer)
    found = buckets(server, [[run, 1, None], [run, 0, None], [run, None, None]])
    assert found == [
        alone(server, run, rank=1),
        alone(server, run, rank=0),
        alone(server, run),
    ]


def test_what_cannot_be_answered_leaves_the_others_their_answers(server: Server) -> None:
    run, empty = server.new_run(), server.new_run()
    server.send_rows(run, rows(0.0))
    gone = server.new_run()
    server.ask("DELETE", f"/runs/{gone}")
    sources = [[gone, None, None], ["x" * 22, None, None], [empty, None, None], [run, None, None]]
    found = buckets(server, sources)
    assert found == [None, None, {}, alone(server, run)]
    # No clock has a place beyond 64 bits: that source is told so.
    told, other = buckets(server, [[run, None, 10**300], [run, None, None]], xaxis="timestamp")
    assert isinstance(told, str) or told["a"]["count"] == []
    assert other == alone(server, run, xaxis="timestamp")


@pytest.mark.parametrize(
    "query",
    [
        {"sources": None},
        {"sources": "[]"},
        {"sources": "{}"},
        {"sources": '["x"]'},
        {"sources": '[["short",null,null]]'},
        {"sources": f'[["{"x" * 22}",-1,null]]'},
        {"sources": f'[["{"x" * 22}",null,NaN]]'},
        {"max_points": None},
        {"max_points": 0},
        {"xaxis": "colour"},
        {"xscale": "sqrt"},
        {"end": "nan"},
    ],
    ids=str,
)
def test_a_bad_question_is_422(server: Server, query: dict[str, Any]) -> None:
    good = {
        "metrics": '["a"]',
        "max_points": 8,
        "sources": f'[["{"x" * 22}",null,null]]',
    }
    assert server.ask("GET", "/metrics/buckets", params=good).status_code == 200
    assert server.ask("GET", "/metrics/buckets", params={**good, **query}).status_code == 422
