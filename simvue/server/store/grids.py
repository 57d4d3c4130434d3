"""Grids in SQL, and the arrays that runs log on them.

An array belongs to a field: one metric of one run on one grid.  Rows come with numbers as
those of metrics do, and are stored once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

import zstandard

from simvue import wire

from . import Object, Span, Stored, Tensor, rows, runs
from .connection import Connection, Row

# Arrays deleted in one transaction: some 25 MiB of the largest (chosen).
_SWEEP_MAX: Final = 64


def create(connection: Connection, grid: Object, owner: str, now: int) -> str:
    """Create a grid and return its id; names may repeat."""
    grid_id = wire.new_id()
    connection.execute(
        "INSERT INTO grid (id, owner, name, grid, labels, created) VALUES (?, ?, ?, ?, ?, ?)",
        (
            grid_id,
            owner,
            grid["name"],
            json.dumps(grid["grid"]),
            json.dumps(grid["labels"]),
            now,
        ),
    )
    return grid_id


def get(connection: Connection, grid: str) -> Object | None:
    """Return the grid object with id *grid*."""
    row = connection.execute("SELECT * FROM grid WHERE id = ?", (grid,)).fetchone()
    return None if row is None else _object(row)


def select(connection: Connection, start: int, count: int) -> tuple[int, list[Object]]:
    """Return (total, grid objects of the page), newest first."""
    total = connection.execute("SELECT count(*) FROM grid").fetchone()[0]
    found = connection.execute(
        "SELECT * FROM grid ORDER BY created DESC, key DESC LIMIT ? OFFSET ?", (count, start)
    )
    return total, [_object(row) for row in found]


def delete(connection: Connection, grid: str) -> bool:
    """Delete the grid; False if there is none, ValueError if a run uses it."""
    row = connection.execute(
        "SELECT key, EXISTS (SELECT 1 FROM field WHERE grid = grid.key) AS used "
        "FROM grid WHERE id = ?",
        (grid,),
    ).fetchone()
    if row is None:
        return False
    if row["used"]:
        raise ValueError("runs have metrics on this grid: delete them first")
    connection.execute("DELETE FROM grid WHERE key = ?", (row["key"],))
    return True


def _object(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "grid": json.loads(row["grid"]),
        "labels": json.loads(row["labels"]),
        "created": wire.format_timestamp(row["created"]),
        "user": row["owner"],
    }


# ---- Fields -----------------------------------------------------------------------------


def attach(connection: Connection, run: str, grid: str, name: str) -> bool:
    """Say that the run logs the metric *name* on *grid*; False if there is no such grid.

    Raises NoSuchRun, RunGone.
    """
    key = runs.find(connection, run)
    row = connection.execute("SELECT key FROM grid WHERE id = ?", (grid,)).fetchone()
    if row is None:
        return False
    _field(connection, key, name, row["key"])
    return True


def of_run(connection: Connection, run: str) -> list[Object]:
    """Return the grids of the run, each with the ``metric`` that is logged on it."""
    found = connection.execute(
        "SELECT grid.*, field.name AS metric FROM field JOIN grid ON grid.key = field.grid "
        "WHERE field.run = ? ORDER BY field.key",
        (runs.find(connection, run),),
    )
    return [{**_object(row), "metric": row["metric"]} for row in found]


def _field(connection: Connection, run: int, name: str, grid: int) -> int:
    row = connection.execute(
        "SELECT key FROM field WHERE run = ? AND name = ? AND grid = ?", (run, name, grid)
    ).fetchone()
    if row is not None:
        found: int = row["key"]
        return found
    return connection.insert(
        "INSERT INTO field (run, name, grid) VALUES (?, ?, ?)", (run, name, grid)
    )


# ---- Arrays -----------------------------------------------------------------------------


def compress(tensor: Tensor) -> bytes:
    """Write the values of *tensor* as they are stored; needs no database."""
    compressed: bytes = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(
        tensor.values
    )
    return compressed


def add(
    connection: Connection,
    run: str,
    tensors: Sequence[Tensor],
    data: Sequence[bytes],
    span: Span | None,
    digest: bytes | None,
    now: int,
) -> Stored:
    """Store those of *tensors*, compressed as *data*, that are not there yet.

    Raises ValueError, and stores nothing, if one names a grid that there is not, or has not
    its shape.
    """
    key, abort = runs.touch(connection, run, now)
    if digest and rows.repeated(connection, key, digest, now):
        return Stored(0, abort)
    gaps = [(0, len(tensors))]
    if span is not None:
        gaps = [
            (first - span.first, end - span.first)
            for first, end in rows.claim(connection, key, span, "tensors")
        ]
    grids: dict[str, tuple[int, list[int]]] = {}
    for place, tensor in enumerate(tensors):
        if tensor.grid not in grids:
            grids[tensor.grid] = _shape(connection, tensor.grid, place)
        if list(tensor.shape) != grids[tensor.grid][1]:
            raise ValueError(
                f"row {place}: its array has the shape {list(tensor.shape)}, and the grid "
                f"{tensor.grid} takes {grids[tensor.grid][1]}, the last axis first"
            )
    fields = {
        (tensor.name, tensor.grid): _field(connection, key, tensor.name, grids[tensor.grid][0])
        for tensor in tensors
    }
    connection.executemany(
        "INSERT INTO tensor (field, step, time, timestamp, dtype, shape, data) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                fields[tensor.name, tensor.grid],
                tensor.step,
                None if math.isnan(tensor.time) else tensor.time,
                tensor.timestamp,
                tensor.dtype,
                json.dumps(tensor.shape),
                compressed,
            )
            for first, end in gaps
            for tensor, compressed in zip(tensors[first:end], data[first:end], strict=True)
        ],
    )
    return Stored(sum(end - first for first, end in gaps), abort)


def _shape(connection: Connection, grid: str, place: int) -> tuple[int, list[int]]:
    row = connection.execute("SELECT key, grid FROM grid WHERE id = ?", (grid,)).fetchone()
    if row is None:
        raise ValueError(f"row {place}: there is no grid {grid}")
    return row["key"], [len(axis) for axis in reversed(json.loads(row["grid"]))]


def values(connection: Connection, run: str, name: str, step: int | None) -> Tensor | None:
    """Return the array of a metric at *step*, by default at its last; see Store.tensor."""
    row = connection.execute(
        "SELECT tensor.*, grid.id AS grid FROM field JOIN tensor ON tensor.field = field.key "
        "JOIN grid ON grid.key = field.grid "
        f"WHERE field.run = ? AND field.name = ? {'' if step is None else 'AND step = ?'} "
        "ORDER BY step DESC, timestamp DESC, tensor.key DESC LIMIT 1",
        [runs.find(connection, run), name, *([] if step is None else [step])],
    ).fetchone()
    if row is None:
        return None
    return Tensor(
        name=name,
        grid=row["grid"],
        step=row["step"],
        # A time that is no number was stored as NULL.
        time=float("nan") if row["time"] is None else row["time"],
        timestamp=row["timestamp"],
        dtype=row["dtype"],
        shape=tuple(json.loads(row["shape"])),
        values=zstandard.ZstdDecompressor().decompress(row["data"]),
    )


def span(connection: Connection, run: str, name: str) -> Object | None:
    """Return count and least and greatest step, time and timestamp of a metric's arrays."""
    row = connection.execute(
        "SELECT count(*) AS count, min(step) AS min_step, max(step) AS max_step, "
        "min(time) AS min_time, max(time) AS max_time, "
        "min(timestamp) AS min_timestamp, max(timestamp) AS max_timestamp "
        "FROM field JOIN tensor ON tensor.field = field.key "
        "WHERE field.run = ? AND field.name = ?",
        (runs.find(connection, run), name),
    ).fetchone()
    return dict(row) if row["count"] else None


def sweep(connection: Connection) -> bool:
    """Delete a slice of the arrays of deleted runs; True if more is left."""
    found = connection.execute(
        "SELECT tensor.key FROM field JOIN tensor ON tensor.field = field.key "
        "WHERE field.run IS NULL LIMIT ?",
        (_SWEEP_MAX,),
    ).fetchall()
    connection.executemany("DELETE FROM tensor WHERE key = ?", [tuple(row) for row in found])
    if len(found) < _SWEEP_MAX:
        connection.execute("DELETE FROM field WHERE run IS NULL")
        return False
    return True
