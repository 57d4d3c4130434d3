"""All ranks of a job in one answer: what each logged, at the same edges, and how fast it got on."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import numpy as np
import pytest
from fix_server import Server, good

RANKS = 4
# A row a second for a minute; rank 1 is half as fast as the others, rank 2 is far off.
SECONDS = 60
START = 1769860800.0


def logged(rank: int) -> list[dict[str, Any]]:
    return [
        {
            "step": second // 2 if rank == 1 else second,
            "time": float(second),
            "timestamp": f"2026-01-31T12:00:{second:02d}.000000",
            "values": {"residual": (5.0 if rank == 2 else 1.0) + second, "only": rank}
            if rank
            else {"residual": 1.0 + second},
        }
        for second in range(SECONDS)
    ]


@pytest.fixture(scope="module", params=["one run", "a run each"])
def job(request: pytest.FixtureRequest, server: Server) -> dict[str, str]:
    """What asks for the ranks of a job that share a run, or that have one each."""
    if request.param == "one run":
        run = server.new_run()
        for rank in range(RANKS):
            writer = f"R{rank}".ljust(22, "x")
            server.put(f"/runs/{run}", {"writers": {writer: {"kind": "metrics", "rank": rank}}})
            server.send_rows(run, logged(rank), writer)
        return {"runs": json.dumps([run])}
    for rank in range(RANKS):
        run = server.new_run(
            name=f"rank {rank}", metadata={"simvue": {"launch": {"group": "wire-jobs"}}}
        )
        server.send_rows(run, logged(rank))
    return {"filters": json.dumps(["metadata.simvue.launch.group == wire-jobs"])}


def table(server: Server, **parameters: Any) -> Any:
    """Return the table, its values as arrays, the row that lies highest last."""
    response = server.ask("GET", "/metrics/ranks", params=parameters)
    assert response.status_code == 200, response.text
    found = msgpack.unpackb(response.content)
    for row in found["ranks"]:
        row["values"] = np.frombuffer(row["values"], "<f8")
    return found


def test_every_rank_is_a_row_with_the_last_value_of_each_column(
    server: Server, job: dict[str, str]
) -> None:
    found = table(server, metric="residual", **job)
    assert (found["start"], found["end"]) == (START, START + SECONDS - 1)
    assert len(found["ranks"]) == RANKS
    for row in found["ranks"]:
        seen = row["values"][np.isfinite(row["values"])]
        # 400 columns for 60 rows: each has one of its own, and they come in order.
        assert len(seen) == SECONDS
        assert (np.diff(seen) == 1).all()
        assert row["seconds"] == SECONDS - 1
    assert sorted(row["steps"] for row in found["ranks"]) == [29, 59, 59, 59]
    assert sorted(row["values"][0] for row in found["ranks"]) == [1, 1, 1, 5]


def test_a_stretch_of_time_has_all_the_columns_and_the_pace_of_the_whole(
    server: Server, job: dict[str, str]
) -> None:
    found = table(server, metric="residual", start=START + 30, end=START + 40, **job)
    assert (found["start"], found["end"]) == (START + 30, START + 40)
    for row in found["ranks"]:
        assert np.isfinite(row["values"]).sum() == 11
        assert row["seconds"] == SECONDS - 1


def test_a_rank_that_has_not_logged_the_metric_has_an_empty_row(
    server: Server, job: dict[str, str]
) -> None:
    found = table(server, metric="only", **job)
    assert len(found["ranks"]) == RANKS
    empty = [row for row in found["ranks"] if np.isnan(row["values"]).all()]
    assert [(row["steps"], row["seconds"]) for row in empty] == [(0, 0.0)]


def test_a_nan_that_was_logged_is_told_from_a_column_without_rows(server: Server) -> None:
    run = server.new_run()
    server.send_rows(
        run,
        [
            {"step": second, "time": second, "timestamp": f"2026-01-31T12:00:0{second}.000000",
             "values": {"residual": value}}
            for second, value in enumerate((1.0, math.nan, math.inf, math.nan, 2.0))
        ],
    )  # fmt: skip
    (row,) = table(server, metric="residual", runs=json.dumps([run]))["ranks"]
    # Five rows over 400 columns, the last one at the edge.
    assert row["nan"] == [100, 300]
    assert row["values"][[0, 200, 399]].tolist() == [1.0, math.inf, 2.0]
    assert np.isnan(row["values"]).sum() == 397
    # Of several rows in a column the last one counts: all five lie in the first.
    (row,) = table(
        server, metric="residual", runs=json.dumps([run]), start=START, end=START + 2000
    )["ranks"]
    assert (row["nan"], row["values"][0]) == ([], 2.0)


def test_whose_ranks_has_to_be_said_and_nobodys_are_none(server: Server) -> None:
    assert server.ask("GET", "/metrics/ranks", params={"metric": "a"}).status_code == 422
    run = server.new_run()
    for runs in ([run], ["x" * 22]):
        empty = table(server, metric="a", runs=json.dumps(runs))
        assert empty == {"start": None, "end": None, "ranks": []}


def test_times_that_no_clock_has_are_refused_or_empty(server: Server, job: dict[str, str]) -> None:
    for start, end in ((START + 9, START), (1e300, None), (None, -1e300)):
        asked = {"metric": "residual", "start": start, "end": end, **job}
        response = server.ask("GET", "/metrics/ranks", params=asked)
        assert response.status_code in (200, 422), response.text
    assert good(server.ask("GET", "/version"))
