"""A fold: bodies become chunks, in three moves of which only the last is in anybody's way.

::

    a reader's snapshot          no transaction                 one short transaction
    ┌──────────────────────┐    ┌──────────────────────────┐    ┌────────────────────────────┐
    │ take: some bodies,   │    │ encode: rows by number,  │    │ replace: the lease is ours,│
    │ and the small folds  │ ─> │ axes, chunks, and cells  │ ─> │ the run is still there:    │
    │ they belong to       │    │ that sum them up         │    │ delete those, insert these │
    └──────────────────────┘    └──────────────────────────┘    └────────────────────────────┘

A reader sees the bodies or the fold, never both and never neither.  A death before the commit
leaves the bodies, and the next step begins anew.

A fold that is not large enough waits for more and is folded again, but only together with as
many rows as it has: so a run that logs for weeks rewrites each row a handful of times.  Those
that are large enough get parents (parents.py).  What is due, and when, says folding.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from simvue.exception import StoreError

from . import cells, columns, parts
from .buckets import Axis, Buckets, floats
from .cells import AXES
from .connection import Connection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parts import Part

ROWS: Final = 1 << 16
"""Rows of a full fold: pcodec finds little more in longer ones (store.md), and a reader of a
hundred rows unpacks no more than these."""

POINTS: Final = 1 << 20
"""Points of a full fold: with more than sixteen metrics a row it has fewer rows, because the
transaction that puts it in place keeps others waiting: 30 ms for so many, 5 ms for a fold of
five metrics (measured)."""

SLICE: Final = 512
"""Bodies of one step at most, for the same reason as POINTS."""

_DTYPES: Final = (np.float64, np.int64, np.uint64, np.uint64)
_COLUMNS: Final = (
    "shape, writer, level, sealed, first, rows, step_low, step_high, time_low, time_high, "
    "timestamp_low, timestamp_high, ascending, cells, axes"
)


class Due(NamedTuple):
    """Bodies of one shape and writer that are to be folded."""

    shape: int
    writer: int


class Slice(NamedTuple):
    """What one step folds: bodies (key, first), folds by key, and of each its parts."""

    run: str
    due: Due
    bodies: list[tuple[int, int]]
    folds: list[int]
    sources: list[list[Part]]


class Folded(NamedTuple):
    """A fold ready to be written: its columns, and of each metric (cells, rows)."""

    columns: tuple[Any, ...]
    chunks: list[tuple[bytes, bytes | None]]

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return sum(len(cells) + len(rows or b"") for cells, rows in self.chunks)


def full_rows(metrics: int) -> int:
    """Return how many rows make a full fold of so many metrics a row."""
    return max(1, min(ROWS, POINTS // max(1, metrics)))


def width(connection: Connection, shape: int) -> int:
    """Return how many metrics the rows of *shape* have."""
    row = connection.execute("SELECT names FROM shape WHERE key = ?", (shape,)).fetchone()
    return len(json.loads(row["names"]))


def take(connection: Connection, due: Due) -> Slice | None:
    """Read the next bodies that are *due*, and the small folds that they belong to."""
    run = connection.execute(
        "SELECT id FROM shape JOIN run ON run.key = run WHERE shape.key = ?", (due.shape,)
    ).fetchone()
    if run is None:
        return None
    metrics = range(width(connection, due.shape))
    full = full_rows(len(metrics))
    found = Slice(run["id"], due, [], [], [])
    rows = 0
    if not metrics:
        # Rows without a value are counted and never read.
        return None
    for body in connection.execute(
        "SELECT key, writer, -1 AS rank, first, chunk FROM body "
        "WHERE shape = ? AND writer = ? ORDER BY first LIMIT ?",
        (*due, SLICE),
    ):
        found.bodies.append((body["key"], body["first"]))
        found.sources.append(parts.of_body(body, metrics))
        rows += len(found.sources[-1][0].numbers)
        if rows >= full:
            break
    if not rows:
        return None
    for fold in connection.execute(
        "SELECT key, writer, -1 AS rank, rows FROM fold WHERE shape = ? AND parent IS NULL "
        "AND level = 0 AND writer = ? AND NOT sealed ORDER BY rows",
        due,
    ):
        if fold["rows"] > rows:
            break
        found.folds.append(fold["key"])
        found.sources.append(parts.of_fold(connection, fold, metrics))
        rows += fold["rows"]
    return found


def encode(found: Slice) -> list[Folded]:
    """Sort the rows of a slice by their numbers and pack them as folds; needs no database."""
    sources = found.sources
    numbers = np.concatenate([source[0].numbers for source in sources])
    order = None if (numbers[1:] > numbers[:-1]).all() else np.argsort(numbers)

    def whole(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        joined = np.concatenate(columns)
        return joined if order is None else joined[order]

    metrics = len(sources[0])
    numbers = whole([source[0].numbers for source in sources])
    axes = {axis: whole([source[0].axes[axis] for source in sources]) for axis in AXES}
    values = [whole([source[metric].values for source in sources]) for metric in range(metrics)]
    kinds = [whole([source[metric].kinds for source in sources]) for metric in range(metrics)]
    full = full_rows(metrics)
    pieces = max(1, round(len(numbers) / full))
    edges = np.linspace(0, len(numbers), pieces + 1).astype(int).tolist()
    return [
        _folded(
            found.due,
            numbers[begin:end],
            {axis: x[begin:end] for axis, x in axes.items()},
            [(values[metric][begin:end], kinds[metric][begin:end]) for metric in range(metrics)],
            sealed=2 * (end - begin) > full,
        )
        for begin, end in pairwise(edges)
    ]


def _folded(
    due: Due,
    numbers: NDArray[np.int64],
    axes: dict[Axis, NDArray[Any]],
    metrics: Sequence[tuple[NDArray[np.uint64], NDArray[np.uint8]]],
    sealed: bool,
) -> Folded:
    positions = [axes[axis] for axis in AXES]
    summed: list[Buckets] = []
    chunks: list[tuple[bytes, bytes | None]] = []
    for values, kinds in metrics:
        summed = cells.of_rows(positions, floats(values, kinds), cells.CELL)
        uniform = (kinds == kinds[0]).all()
        typed = values.view(_DTYPES[int(kinds[0])]) if uniform else values
        rows = columns.encode([typed, kinds.astype(np.uint64)])
        chunks.append((cells.encode_metric(summed), rows))
    ends: list[Any] = []
    for x in positions:
        finite = x[np.isfinite(x)]
        ends += [finite.min().item(), finite.max().item()] if len(finite) else [None, None]
    ascending = [bool(np.isfinite(x).all() and (x[1:] >= x[:-1]).all()) for x in positions]
    return Folded(
        (
            *due, 0, sealed, int(numbers[0]), len(numbers), *ends, bits(ascending),
            cells.encode_axes(summed), parts.encode_axes(numbers, axes),
        ),
        chunks,
    )  # fmt: skip


def bits(ascending: Sequence[bool]) -> int:
    """Return the column `ascending`, of what holds along each axis."""
    return sum(1 << place for place, holds in enumerate(ascending) if holds)


def replace(connection: Connection, found: Slice, folded: Sequence[Folded]) -> None:
    """Put *folded* in the place of what *found* holds; nothing if its run is gone."""
    if not lives(connection, found.run, found.due.shape):
        return
    gone = connection.executemany(
        "DELETE FROM body WHERE key = ? AND first = ? AND shape = ? AND writer = ?",
        [(*body, *found.due) for body in found.bodies],
    ).rowcount
    expect(gone, found.bodies)
    if found.folds:
        gone = connection.executemany(
            "DELETE FROM fold WHERE key = ?", [(key,) for key in found.folds]
        ).rowcount
        expect(gone, found.folds)
    for fold in folded:
        insert(connection, fold)


def insert(connection: Connection, fold: Folded) -> int:
    """Write *fold* with its chunks; return its key."""
    marks = ", ".join("?" * len(fold.columns))
    key = connection.insert(f"INSERT INTO fold ({_COLUMNS}) VALUES ({marks})", fold.columns)
    connection.executemany(
        "INSERT INTO chunk (fold, metric, cells, rows) VALUES (?, ?, ?, ?)",
        [(key, metric, *chunk) for metric, chunk in enumerate(fold.chunks)],
    )
    return key


def lives(connection: Connection, run: str, shape: int) -> bool:
    """Tell whether *shape* is still that of *run*: by its id, for keys come back and ids never."""
    return (
        connection.execute(
            "SELECT 1 FROM shape JOIN run ON run.key = run WHERE shape.key = ? AND run.id = ?",
            (shape, run),
        ).fetchone()
        is not None
    )


def expect(changed: int, wanted: Sequence[object]) -> None:
    """Raise StoreError, which takes all back, unless as many rows *changed* as were *wanted*."""
    if changed != len(wanted):
        raise StoreError("what was to be folded has changed: two servers fold at once")
