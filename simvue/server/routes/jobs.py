"""Jobs: one metric over all ranks of a job, as one table; the page asks once, not once a rank.

Ranks share one run, or each has a run of its own; in the table each is a row::

                 start ├────────┬────────┬────────┬────────┤ end      the wall clock
    run, rank 0        │  last  │  last  │        │  last  │          steps, seconds
    run, rank 1        │  last  │        │  last  │  last  │          steps, seconds

All are cut at the same edges, so that a column is one stretch of time.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
from litestar import Response, get

from simvue import wire

from .. import query
from ..forms import checked, invalid
from ..store import NoSuchRun, Query, RunGone, Store, buckets
from . import Asked, threaded

# Ranks of one table: as many as a screen has lines, and a page of runs has runs (chosen).
RANKS_MAX: Final = query.PAGE_MAX
# Columns of one table: each some pixels wide on a screen (chosen).
COLUMNS: Final = 400


class OfRanks(msgspec.Struct, kw_only=True):
    """One metric over the ranks of runs: of some by their ids, or of those that meet filters."""

    metric: str
    runs: list[str] = []
    filters: list[str] = []
    start: float | None = None
    end: float | None = None


@get("/metrics/ranks", query=OfRanks, answer=dict[str, Any], answer_media=wire.MSGPACK)
@threaded
def get_ranks(asked: Asked) -> Response[bytes]:
    """Answer the last value of a metric in each column of time, of every rank of some runs.

    Columns lie between ``start`` and ``end`` in seconds since the epoch, by default the first and
    the last row of the runs; without rows both are null.  Of a rank, ``values`` are little-endian
    float64, NaN where it logged nothing; ``nan`` are the columns in which NaN is what it logged.
    Its ``steps`` and ``seconds`` lie between its first row and its last, whatever the columns.
    A run that nobody shares is one rank.
    """
    parameters = asked.parameters
    wanted = Query(
        filters=query.conditions(parameters),
        runs=query.texts(parameters, "runs"),
        unwanted=["metrics", "metadata", "system"],
        count=RANKS_MAX,
    )
    if not wanted.runs and not wanted.filters:
        raise invalid("runs or filters say whose ranks are meant", "query", "runs")
    metric = parameters.get("metric") or ""
    start, end = query.number(parameters, "start"), query.number(parameters, "end")
    _, runs = asked.store.list_runs(wanted, asked.owner)
    ends = _ends(asked.store, [run["id"] for run in runs])
    if ends is None:
        return _answer(None, None, [])
    low = ends[0] if start is None else int(start * 1e6)
    high = ends[1] if end is None else int(end * 1e6)
    ranks = ((run["id"], rank) for run in runs for rank in run["ranks"] or [None])
    rows = []
    with checked("query"):
        for run, rank in islice(ranks, RANKS_MAX):
            with suppress(NoSuchRun, RunGone):
                rows.append(_Row(asked.store, run, metric, rank).told(low, high))
    return _answer(low * 1e-6, high * 1e-6, rows)


def _answer(start: float | None, end: float | None, ranks: list[Any]) -> Response[bytes]:
    table = {"start": start, "end": end, "ranks": ranks}
    return Response(msgspec.msgpack.encode(table), media_type=wire.MSGPACK)


def _ends(store: Store, runs: list[str]) -> tuple[int, int] | None:
    """Return the least and the greatest timestamp of all *runs*; None if they have no rows."""
    found = []
    for run in runs:
        with suppress(NoSuchRun, RunGone):
            found.append(store.extent(run).get("timestamp"))
    known = [ends for ends in found if ends is not None]
    if not known:
        return None
    return int(min(low for low, _ in known)), int(max(high for _, high in known))


class _Row:
    """What one rank logged of one metric."""

    def __init__(self, store: Store, run: str, metric: str, rank: int | None) -> None:
        self._store = store
        self._run = run
        self._metric = metric
        self._rank = rank

    def told(self, start: int, end: int) -> dict[str, Any]:
        """Return the row of the table whose columns lie between two times in microseconds."""
        values, nan = self._values(start, end)
        return {
            "run": self._run,
            "rank": self._rank,
            "values": values,
            "nan": nan,
            "steps": self._length("step"),
            "seconds": self._length("timestamp") * 1e-6,
        }

    def _values(self, start: int, end: int) -> tuple[bytes, list[int]]:
        values = np.full(COLUMNS, np.nan)
        known = np.zeros(COLUMNS, bool)
        cut = self._cut("timestamp", COLUMNS, start, end)
        if cut is not None:
            middle = (cut.first_x - start + cut.last_x - start) / 2
            place = (middle / max(1, end - start) * COLUMNS).astype(np.int64)
            place = np.minimum(place, COLUMNS - 1)
            # Of two buckets in one column the later one is written last.
            values[place] = cut.last
            known[place] = True
        nan: list[int] = np.flatnonzero(known & np.isnan(values)).tolist()
        return values.astype("<f8").tobytes(), nan

    def _length(self, axis: buckets.Axis) -> int:
        cut = self._cut(axis, 1)
        return 0 if cut is None else int(cut.last_x[-1]) - int(cut.first_x[0])

    def _cut(
        self, axis: buckets.Axis, most: int, start: int | None = None, end: int | None = None
    ) -> buckets.Cut | None:
        """Return the buckets of what this rank logged; None if that is nothing."""
        found = self._store.cut(self._run, [self._metric], axis, most, start, end, self._rank)
        cut = found.get(self._metric)
        return cut if cut is not None and len(cut.count) else None


HANDLERS: Final = [get_ranks]
