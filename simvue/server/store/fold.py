"""Folding: bodies become chunks, while others write and read.

::

    a reader's snapshot          no transaction                 one short transaction
    ┌──────────────────────┐    ┌──────────────────────────┐    ┌────────────────────────────┐
    │ due: whose bodies    │    │ encode: rows by number,  │    │ the lease is still ours,   │
    │ take: some of them,  │ ─> │ axes, chunks, and cells  │ ─> │ the run still there:       │
    │ and small folds      │    │ that sum them up         │    │ delete those, insert these │
    └──────────────────────┘    └──────────────────────────┘    └────────────────────────────┘

A reader sees the bodies or the fold, never both and never neither.  A death before the commit
leaves the bodies, and the next step begins anew.

A fold that is not large enough waits for more and is folded again, but only together with as
many rows as it has: so a run that logs for weeks rewrites each row a handful of times.  FAN
folds that are large enough get a parent, which holds their cells summed up (cells.py).
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from simvue import wire
from simvue.exception import StoreError

from . import cells, columns, leases, parts
from .buckets import Axis, Buckets, floats
from .cells import AXES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parts import Part

ROWS: Final = 1 << 16
"""Rows of a full fold: pcodec finds little more in longer ones (store.md), and a reader of a
hundred rows unpacks no more than these."""

POINTS: Final = 1 << 20
"""Points of a full fold: with more than sixteen metrics a row it has fewer rows, because the
transaction that puts it in place keeps others waiting (2 MiB: a few milliseconds, measured)."""

BODIES: Final = 256
"""Bodies that are due however small they are: reading them takes 36 microseconds each."""

SLICE: Final = 512
"""Bodies of one step at most, for the same reason as POINTS."""

IDLE_S: Final = 120.0
"""A writer that sent nothing for so long may not come back for long: what it sent is folded."""

# Less than this is as quick to read as it lies, and smaller: a chunk has a head (measured).
_SMALL_ROWS: Final = 1024
_SMALL_BODIES: Final = 8

LEASE: Final = "fold"
LEASE_S: Final = 30.0
"""A step takes a tenth of a second; who is silent for so long is dead, or as good as (chosen)."""

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


@dataclass
class _Waiting:
    """Bodies of one shape and writer that nobody has folded yet."""

    bodies: int = 0
    rows: int = 0
    since: float = 0.0
    """When the last of them was found."""
    full: int = 0
    """Rows of a full fold; 0 until it is asked for."""


class Backlog:
    """What waits to be folded: remembered, so that a look reads only what came since the last."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Due, _Waiting] = defaultdict(_Waiting)
        self._newest = 0

    def due(self, connection: sqlite3.Connection, now: float) -> list[Due]:
        """Return what is to be folded, once for each step that it takes."""
        for row in connection.execute(
            "SELECT shape, writer, count(*) AS bodies, sum(rows) AS rows, max(key) AS newest "
            "FROM body WHERE key > ? GROUP BY shape, writer",
            (self._newest,),
        ).fetchall():
            waiting = self._waiting[Due(row["shape"], row["writer"])]
            waiting.bodies += row["bodies"]
            waiting.rows += row["rows"]
            waiting.since = now
            self._newest = max(self._newest, row["newest"])
        found: list[Due] = []
        for due, waiting in list(self._waiting.items()):
            rests = now - waiting.since >= IDLE_S
            if waiting.rows >= _SMALL_ROWS or waiting.bodies >= _SMALL_BODIES:
                found += [due] * self._steps(connection, due, waiting, rests)
            elif rests:
                self.forget(due)
        return found

    def _steps(
        self, connection: sqlite3.Connection, due: Due, waiting: _Waiting, rests: bool
    ) -> int:
        run = connection.execute(
            "SELECT status FROM shape JOIN run ON run.key = run WHERE shape.key = ?", (due.shape,)
        ).fetchone()
        if run is None:
            self.forget(due)
            return 0
        if not waiting.full:
            waiting.full = full_rows(_width(connection, due.shape))
        steps = max(waiting.rows // waiting.full, waiting.bodies // BODIES)
        return steps or int(rests or run["status"] in wire.TERMINAL)

    def folded(self, due: Due, bodies: int, rows: int) -> None:
        """Note that so many of the *bodies* that wait do so no longer."""
        waiting = self._waiting[due]
        waiting.bodies -= bodies
        waiting.rows -= rows
        if waiting.bodies <= 0:
            self.forget(due)

    def forget(self, due: Due) -> None:
        """Leave what waits as it is, until more comes."""
        self._waiting.pop(due, None)


def _width(connection: sqlite3.Connection, shape: int) -> int:
    """Return how many metrics the rows of *shape* have."""
    row = connection.execute(
        "SELECT json_array_length(names) FROM shape WHERE key = ?", (shape,)
    ).fetchone()
    return int(row[0])


def take(connection: sqlite3.Connection, due: Due) -> Slice | None:
    """Read the next bodies that are *due*, and the small folds that they belong to."""
    run = connection.execute(
        "SELECT id FROM shape JOIN run ON run.key = run WHERE shape.key = ?", (due.shape,)
    ).fetchone()
    if run is None:
        return None
    metrics = range(_width(connection, due.shape))
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
        "AND level = 0 AND writer = ? AND sealed = 0 ORDER BY rows",
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
            *due, 0, sealed, int(numbers[0]), len(numbers), *ends, _bits(ascending),
            cells.encode_axes(summed), parts.encode_axes(numbers, axes),
        ),
        chunks,
    )  # fmt: skip


def _bits(ascending: Sequence[bool]) -> int:
    return sum(1 << place for place, holds in enumerate(ascending) if holds)


def replace(connection: sqlite3.Connection, found: Slice, folded: Sequence[Folded]) -> None:
    """Put *folded* in the place of what *found* holds; nothing if its run is gone."""
    if not _lives(connection, found.run, found.due.shape):
        return
    gone = connection.executemany(
        "DELETE FROM body WHERE key = ? AND first = ? AND shape = ? AND writer = ?",
        [(*body, *found.due) for body in found.bodies],
    ).rowcount
    _expect(gone, found.bodies)
    if found.folds:
        gone = connection.executemany(
            "DELETE FROM fold WHERE key = ?", [(key,) for key in found.folds]
        ).rowcount
        _expect(gone, found.folds)
    for fold in folded:
        _insert(connection, fold)


def _insert(connection: sqlite3.Connection, fold: Folded) -> int:
    marks = ", ".join("?" * len(fold.columns))
    key = connection.execute(
        f"INSERT INTO fold ({_COLUMNS}) VALUES ({marks})", fold.columns
    ).lastrowid
    assert key is not None
    connection.executemany(
        "INSERT INTO chunk (fold, metric, cells, rows) VALUES (?, ?, ?, ?)",
        [(key, metric, *chunk) for metric, chunk in enumerate(fold.chunks)],
    )
    return key


def _lives(connection: sqlite3.Connection, run: str, shape: int) -> bool:
    # By its id, which never comes back: keys do.
    return (
        connection.execute(
            "SELECT 1 FROM shape JOIN run ON run.key = run WHERE shape.key = ? AND run.id = ?",
            (shape, run),
        ).fetchone()
        is not None
    )


def _expect(changed: int, wanted: Sequence[object]) -> None:
    if changed != len(wanted):
        # Taken back as a whole: nothing was folded twice.
        raise StoreError("what was to be folded has changed: two servers fold at once")


# ---- Parents --------------------------------------------------------------------------------


class Siblings(NamedTuple):
    """FAN folds that follow each other, and the parent that they get."""

    run: str
    keys: list[int]
    parent: Folded


def orphans(connection: sqlite3.Connection) -> list[Due]:
    """Return whose folds are due to get a parent; reads the whole index of folds."""
    return [
        Due(*row)
        for row in connection.execute(
            "SELECT shape, writer FROM fold JOIN shape ON shape.key = shape "
            "WHERE parent IS NULL AND sealed AND run IS NOT NULL "
            "GROUP BY shape, level, writer HAVING count(*) >= ?",
            (cells.FAN,),
        )
    ]


def siblings(connection: sqlite3.Connection, due: Due) -> Siblings | None:
    """Sum up the next FAN folds without a parent, if there are so many of one level."""
    run = connection.execute(
        "SELECT id FROM shape JOIN run ON run.key = run WHERE shape.key = ?", (due.shape,)
    ).fetchone()
    level = connection.execute(
        "SELECT level FROM fold WHERE shape = ? AND parent IS NULL AND writer = ? AND sealed "
        "GROUP BY level HAVING count(*) >= ? ORDER BY level LIMIT 1",
        (*due, cells.FAN),
    ).fetchone()
    if run is None or level is None:
        return None
    children = connection.execute(
        "SELECT key, first, rows, step_low, step_high, time_low, time_high, timestamp_low, "
        "timestamp_high, ascending, cells FROM fold WHERE shape = ? AND parent IS NULL "
        "AND level = ? AND writer = ? AND sealed ORDER BY first LIMIT ?",
        (due.shape, level["level"], due.writer, cells.FAN),
    ).fetchall()
    along = [[cells.decode_axis(child["cells"], axis) for axis in AXES] for child in children]
    rows = connection.execute(
        f"SELECT fold, cells FROM chunk WHERE fold IN ({', '.join('?' * len(children))}) "
        "ORDER BY metric",
        [child["key"] for child in children],
    )
    place = {child["key"]: at for at, child in enumerate(children)}
    summed: list[Buckets] = []
    chunks: list[tuple[bytes, bytes | None]] = []
    group: list[list[Buckets]] = [[] for _ in children]
    for count, row in enumerate(rows, 1):
        at = place[row["fold"]]
        group[at] = [
            cells.decode_metric(row["cells"], axis, one)
            for axis, one in zip(AXES, along[at], strict=True)
        ]
        if count % len(children) == 0:
            summed = cells.above(group)
            chunks.append((cells.encode_metric(summed), None))
    ascending = [
        all(child["ascending"] >> place & 1 for child in children)
        and cells.ascends(cells.concatenated([one[place] for one in along]))
        for place in range(len(AXES))
    ]
    ends = [
        end([child[f"{axis}_{name}"] for child in children if child[f"{axis}_{name}"] is not None])
        for axis in AXES
        for name, end in (("low", _least), ("high", _greatest))
    ]
    parent = Folded(
        (
            *due, level["level"] + 1, True, children[0]["first"],
            sum(child["rows"] for child in children), *ends, _bits(ascending),
            cells.encode_axes(summed), None,
        ),
        chunks,
    )  # fmt: skip
    return Siblings(run["id"], list(place), parent)


def _least(found: Sequence[float]) -> float | None:
    return min(found, default=None)


def _greatest(found: Sequence[float]) -> float | None:
    return max(found, default=None)


def adopt(connection: sqlite3.Connection, due: Due, found: Siblings) -> None:
    """Put the parent above its children; nothing if their run is gone."""
    if not _lives(connection, found.run, due.shape):
        return
    key = _insert(connection, found.parent)
    adopted = connection.executemany(
        "UPDATE fold SET parent = ? WHERE key = ? AND parent IS NULL",
        [(key, child) for child in found.keys],
    ).rowcount
    _expect(adopted, found.keys)


# ---- One step after the other ---------------------------------------------------------------


class Folder:
    """Folds a store in steps, each of which keeps nobody waiting; *clock* tells seconds.

    *reading* lends a connection that sees one moment, *write* runs work in a transaction and
    is told about how many bytes it writes.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        write: Callable[[Callable[[sqlite3.Connection], bool], int], bool],
        clock: Callable[[], float],
    ) -> None:
        self._reading = reading
        self._write = write
        self._clock = clock
        self._holder = wire.new_id()
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._due: list[Due] = []
        self._until = 0.0
        self._orphans: list[Due] | None = None

    def step(self) -> bool:
        """Fold a slice of what is due; False if nothing is, or if another process folds.

        Raises StoreError, once for each writer of whom something cannot be read: that stays as
        it is until more comes, and the next step goes on with others.
        """
        with self._lock:
            with self._reading() as connection:
                if self._orphans is None:
                    # Those that a death left behind.
                    self._orphans = orphans(connection)
                if not self._due:
                    self._due = self._backlog.due(connection, self._clock())
            if not (self._orphans or self._due):
                return False
            # Before the work, so that two who have a lease in turn do not work in vain.
            if self._clock() > self._until - LEASE_S / 2 and not self._commit(lambda _: None, 0):
                return False
            return self._raise(self._orphans) if self._orphans else self._fold(self._orphans)

    def _fold(self, raised: list[Due]) -> bool:
        due = self._due.pop(0)
        try:
            with self._reading() as connection:
                found = take(connection, due)
        except StoreError:
            self._backlog.forget(due)
            raise
        if found is None:
            self._backlog.forget(due)
            return True
        folded = encode(found)
        if not self._commit(
            lambda connection: replace(connection, found, folded),
            sum(fold.size for fold in folded),
        ):
            return False
        rows = sum(len(source[0].numbers) for source in found.sources[: len(found.bodies)])
        self._backlog.folded(due, len(found.bodies), rows)
        raised.append(due)
        return True

    def _raise(self, waiting: list[Due]) -> bool:
        due = waiting.pop(0)
        with self._reading() as connection:
            found = siblings(connection, due)
        if found is None:
            return True
        # Their parent may have siblings now.
        waiting.append(due)
        return self._commit(lambda connection: adopt(connection, due, found), found.parent.size)

    def _commit(self, work: Callable[[sqlite3.Connection], None], size: int) -> bool:
        """Do *work* in a transaction in which the lease is ours; False if it is not."""

        def leased(connection: sqlite3.Connection) -> bool:
            now = self._clock()
            if not leases.hold(connection, LEASE, self._holder, now, now + LEASE_S):
                return False
            self._until = now + LEASE_S
            work(connection)
            return True

        return self._write(leased, size)
