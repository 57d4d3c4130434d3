"""Metric rows and events in SQL: stored once, summed up, read back.

A body's blocks are encoded in the caller's thread and written on the writer's; what the
writer alone can know is which rows are already there.  If some are, it says which are
missing and writes nothing, and the caller encodes those and asks again: overlaps come from
retries and are rare.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from simvue._columns import Block, Rows

from . import REPEAT_S, Event, Series, Span, Stored, chunks, conditions, parts, runs
from .cells import AXES
from .connection import Connection, Statements
from .spans import Range, grown, missing

if TYPE_CHECKING:
    from .parts import Part

FLOAT64, INT64, UINT64, BOOL = range(4)
_DTYPES: Final = {FLOAT64: np.float64, INT64: np.int64, UINT64: np.uint64, BOOL: np.uint64}

_ADD_SUMMARY: Final = """
INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, name) DO UPDATE SET
    count = metric.count + excluded.count,
    finite = metric.finite + excluded.finite,
    total = metric.total + excluded.total,
    min = coalesce(min(metric.min, excluded.min), metric.min, excluded.min),
    max = coalesce(max(metric.max, excluded.max), metric.max, excluded.max),
    last = CASE WHEN excluded.timestamp >= metric.timestamp
        THEN excluded.last ELSE metric.last END,
    step = CASE WHEN excluded.timestamp >= metric.timestamp
        THEN excluded.step ELSE metric.step END,
    time = CASE WHEN excluded.timestamp >= metric.timestamp
        THEN excluded.time ELSE metric.time END,
    timestamp = max(metric.timestamp, excluded.timestamp)
"""

_ADD_EXTENT: Final = """
INSERT INTO extent VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    step_low = min(extent.step_low, excluded.step_low),
    step_high = max(extent.step_high, excluded.step_high),
    time_low = coalesce(
        min(extent.time_low, excluded.time_low), extent.time_low, excluded.time_low),
    time_high = coalesce(
        max(extent.time_high, excluded.time_high), extent.time_high, excluded.time_high),
    timestamp_low = min(extent.timestamp_low, excluded.timestamp_low),
    timestamp_high = max(extent.timestamp_high, excluded.timestamp_high)
"""

_REPEAT_US: Final = REPEAT_S * 1_000_000
# Bodies, or folds, deleted in one transaction: some 64 MiB at the most common size (chosen).
_SWEEP_MAX: Final = 64


class Encoded(NamedTuple):
    """A block, ready to be written."""

    names: tuple[str, ...]
    digest: bytes
    chunk: bytes
    rows: int
    extent: tuple[Any, ...]
    summaries: list[tuple[Any, ...]]


def encode(rows: Rows) -> list[Encoded]:
    """Compress the blocks of *rows* and sum up their metrics; needs no database."""
    return [
        Encoded(
            block.names,
            hashlib.sha256("\0".join(block.names).encode()).digest(),
            chunks.encode(block),
            len(block),
            _extent(block),
            _summaries(block),
        )
        for block in rows.blocks
    ]


def add_extent(connection: Statements, run: int, axes: Block | chunks.Columns) -> None:
    """Note that the run with key *run* has rows with these *axes*."""
    connection.execute(_ADD_EXTENT, (run, *_extent(axes)))


def _extent(block: Block | chunks.Columns) -> tuple[Any, ...]:
    """Return the columns of `extent` behind run."""
    time = block.time[np.isfinite(block.time)]
    return (
        block.step.min().item(),
        block.step.max().item(),
        time.min().item() if len(time) else None,
        time.max().item() if len(time) else None,
        block.timestamp.min().item(),
        block.timestamp.max().item(),
    )


def _summaries(block: Block) -> list[tuple[Any, ...]]:
    """Return the columns of `metric` behind run, one tuple a metric of the block."""
    count = len(block)
    # The greatest timestamp, and of equals the one that came last.
    last = count - 1 - int(np.argmax(block.timestamp[::-1]))
    time = float(block.time[last])
    axes = (int(block.step[last]), None if math.isnan(time) else time, int(block.timestamp[last]))
    summaries: list[tuple[Any, ...]] = [()] * len(block.names)
    kinds = np.frombuffer(block.kinds, np.uint8)
    for kind, dtype in _DTYPES.items():
        chosen = np.flatnonzero(kinds == kind)
        if not len(chosen):
            continue
        values = block.values if len(chosen) == len(kinds) else block.values[chosen]
        typed = values.view(dtype)
        finite, total, low, high = _finite_sums(typed) if kind == FLOAT64 else _sums(typed)
        for i, metric in enumerate(chosen.tolist()):
            summaries[metric] = (
                block.names[metric],
                count,
                finite[i],
                total[i],
                low[i],
                high[i],
                storable(typed[i, last].item()),
                *axes,
            )
    return summaries


Sums = tuple[list[int], list[float], list[Any], list[Any]]


def _sums(values: np.ndarray[Any, Any]) -> Sums:
    metrics, count = values.shape
    total = values.sum(axis=1, dtype=np.float64).tolist()
    low = [_comparable(value) for value in values.min(axis=1).tolist()]
    high = [_comparable(value) for value in values.max(axis=1).tolist()]
    return [count] * metrics, total, low, high


def _finite_sums(values: np.ndarray[Any, Any]) -> Sums:
    finite = np.isfinite(values)
    # A sum of finite values may still overflow: it is then infinite, and so is the average.
    with np.errstate(over="ignore"):
        if finite.all():
            return _sums(values)
        counts = finite.sum(axis=1).tolist()
        total = np.where(finite, values, 0.0).sum(axis=1).tolist()
    low = np.where(finite, values, np.inf).min(axis=1).tolist()
    high = np.where(finite, values, -np.inf).max(axis=1).tolist()
    some = [count > 0 for count in counts]
    return (
        counts,
        total,
        [value if any_ else None for value, any_ in zip(low, some, strict=True)],
        [value if any_ else None for value, any_ in zip(high, some, strict=True)],
    )


def _comparable(value: float) -> float:
    """Return *value* as SQL can compare it: integers from 2**63 become floats."""
    return float(value) if isinstance(value, int) and value >= 2**63 else value


def storable(value: float) -> float | str:
    """Return *value* as SQL can keep it exactly; runs reads the texts back."""
    if value != value:
        return "NaN"
    return str(value) if isinstance(value, int) and value >= 2**63 else value


# ---- Writing --------------------------------------------------------------------------


def add_metrics(
    connection: Connection,
    run: str,
    blocks: Iterable[Encoded],
    count: int,
    span: Span | None,
    chosen: list[Range],
    digest: bytes | None,
    now: int,
) -> Stored | list[Range]:
    """Store *blocks*, which hold the rows of a body of *count* whose numbers are in *chosen*.

    If those are not the rows that are missing, nothing is stored and the missing are returned.
    """
    key, abort = runs.touch(connection, run, now)
    if digest and repeated(connection, key, digest, now):
        return Stored(0, abort)
    writer = _writer(connection, key, span.writer if span else "", "metrics")
    stored = _ranges(connection, writer)
    if span is None:
        first = stored[-1][1] if stored else 0
        gaps = [(first, first + count)]
    else:
        first = span.first
        gaps = missing(stored, first, span.end)
        if gaps != chosen:
            return gaps
    _grow(connection, writer, stored, first, first + count)
    for block in blocks:
        shape = _shape(connection, key, block)
        connection.execute(
            "INSERT INTO body (shape, writer, first, chunk, rows) VALUES (?, ?, ?, ?, ?)",
            (shape, writer, first, block.chunk, block.rows),
        )
        connection.execute(_ADD_EXTENT, (key, *block.extent))
        connection.executemany(_ADD_SUMMARY, [(key, *line) for line in block.summaries])
    return Stored(sum(end - begin for begin, end in gaps), abort)


def add_events(
    connection: Connection,
    run: str,
    events: Sequence[Event],
    span: Span | None,
    digest: bytes | None,
    now: int,
) -> Stored:
    """Store those of *events* that are not there yet."""
    key, abort = runs.touch(connection, run, now)
    if digest and repeated(connection, key, digest, now):
        return Stored(0, abort)
    if span is not None:
        events = [
            event
            for begin, end in claim(connection, key, span, "events")
            for event in events[begin - span.first : end - span.first]
        ]
    connection.executemany(
        "INSERT INTO event (run, timestamp, log_level, message) VALUES (?, ?, ?, ?)",
        [(key, event.timestamp, event.log_level, event.message) for event in events],
    )
    return Stored(len(events), abort)


def repeated(connection: Connection, run: int, digest: bytes, now: int) -> bool:
    """Tell whether a body with this *digest* came to the run lately; if not, this one did."""
    _forget(connection, run, now)
    return (
        connection.execute(
            "INSERT INTO recent (run, digest, stored) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (run, digest, now),
        ).rowcount
        == 0
    )


def forget(connection: Connection, now: int) -> bool:
    """Forget the bodies that came long ago to one of the runs; False if there is no such run.

    A run whose bodies still come forgets them by itself.
    """
    found = connection.execute(
        "SELECT run FROM recent WHERE stored <= ? LIMIT 1", (now - _REPEAT_US,)
    ).fetchone()
    if found is None:
        return False
    # As whoever adds rows does: two that delete the same would wait for one another.
    connection.execute("UPDATE run SET seen = seen WHERE key = ?", (found["run"],))
    _forget(connection, found["run"], now)
    return True


def _forget(connection: Connection, run: int, now: int) -> None:
    connection.execute("DELETE FROM recent WHERE run = ? AND stored <= ?", (run, now - _REPEAT_US))


def claim(connection: Connection, run: int, span: Span, kind: str) -> list[Range]:
    """Note the rows of *span* as stored, and return the ranges of those that were not yet.

    Raises ValueError if the writer sends rows of another *kind*.
    """
    writer = _writer(connection, run, span.writer, kind)
    stored = _ranges(connection, writer)
    _grow(connection, writer, stored, span.first, span.end)
    return missing(stored, span.first, span.end)


def _writer(connection: Connection, run: int, writer: str, kind: str) -> int:
    row = connection.execute(
        "SELECT key, kind FROM writer WHERE run = ? AND id = ?", (run, writer)
    ).fetchone()
    if row is None:
        return connection.insert(
            "INSERT INTO writer (run, id, kind) VALUES (?, ?, ?)", (run, writer, kind)
        )
    if row["kind"] != kind:
        raise ValueError(f"writer {writer} sends {row['kind']}, not {kind}: a writer is one stream")
    found: int = row["key"]
    return found


def introduce(connection: Connection, run: str, writers: Mapping[str, Mapping[str, Any]]) -> None:
    """Note what is known of *writers*, by id: their kind, rank and rows dropped; see Store."""
    key = runs.find(connection, run)
    for writer, facts in writers.items():
        connection.execute(
            "UPDATE writer SET rank = coalesce(?, rank), dropped = max(dropped, ?) WHERE key = ?",
            (
                facts.get("rank"),
                facts.get("dropped") or 0,
                _writer(connection, key, writer, facts["kind"]),
            ),
        )


def _ranges(connection: Connection, writer: int) -> list[Range]:
    rows = connection.execute(
        'SELECT first, "end" FROM span WHERE writer = ? ORDER BY first', (writer,)
    )
    return [(row["first"], row["end"]) for row in rows]


def _grow(connection: Connection, writer: int, stored: list[Range], first: int, end: int) -> None:
    wanted = grown(stored, first, end)
    old, new = set(stored), set(wanted)
    connection.executemany(
        "DELETE FROM span WHERE writer = ? AND first = ?",
        [(writer, begin) for begin, _ in old - new],
    )
    connection.executemany(
        "INSERT INTO span VALUES (?, ?, ?)", [(writer, *item) for item in sorted(new - old)]
    )


def _shape(connection: Connection, run: int, block: Encoded) -> int:
    row = connection.execute(
        "SELECT key FROM shape WHERE run = ? AND digest = ?", (run, block.digest)
    ).fetchone()
    if row is not None:
        found: int = row["key"]
        return found
    return connection.insert(
        "INSERT INTO shape (run, digest, names) VALUES (?, ?, ?)",
        (run, block.digest, json.dumps(block.names)),
    )


def sweep(connection: Connection) -> bool:
    """Delete a slice of the rows of deleted runs; True if more is left."""
    for table in ("body", "fold"):
        keys = connection.execute(
            f"SELECT {table}.key FROM shape JOIN {table} ON {table}.shape = shape.key "
            "WHERE shape.run IS NULL LIMIT ?",
            (_SWEEP_MAX,),
        ).fetchall()
        connection.executemany(f"DELETE FROM {table} WHERE key = ?", [tuple(row) for row in keys])
        if len(keys) == _SWEEP_MAX:
            return True
    connection.execute("DELETE FROM shape WHERE run IS NULL")
    return False


# ---- Reading --------------------------------------------------------------------------


def writers(connection: Connection, run: str) -> dict[str, list[Range]]:
    """Return the ranges stored of each named writer; raises NoSuchRun, RunGone."""
    found = connection.execute(
        "SELECT key, id FROM writer WHERE run = ? AND id != '' ORDER BY key",
        (runs.find(connection, run),),
    ).fetchall()
    # One that was introduced may have sent nothing yet.
    return {row["id"]: there for row in found if (there := _ranges(connection, row["key"]))}


def metric_names(connection: Connection, run: str) -> list[str]:
    """Return the names of the run's metrics; none if there is no such run."""
    rows = connection.execute(
        "SELECT metric.name FROM run JOIN metric ON metric.run = run.key WHERE run.id = ?", (run,)
    )
    return [row["name"] for row in rows]


def series(connection: Connection, run: str, names: Sequence[str]) -> dict[str, Series]:
    """Return the series of those of *names* that the run has; see Store.series."""
    key = runs.find(connection, run)
    found: dict[str, list[Part]] = {}
    for shape in connection.execute(
        "SELECT key, names FROM shape WHERE run = ?", (key,)
    ).fetchall():
        places = {name: place for place, name in enumerate(json.loads(shape["names"]))}
        wanted = [name for name in dict.fromkeys(names) if name in places]
        if not wanted:
            continue
        for some in parts.of_shape(connection, shape["key"], [places[name] for name in wanted]):
            for name, part in zip(wanted, some, strict=True):
                found.setdefault(name, []).append(part)
    return {name: _joined(found[name]) for name in dict.fromkeys(names) if name in found}


def _joined(some: Sequence[Part]) -> Series:
    """Join parts into one series, in the order of ranks, writers and their rows' numbers."""
    chosen, order = parts.ordered(some)
    ranks = np.array([part.rank for part in chosen], np.int32)
    whole = Series(
        np.concatenate([part.axes["step"] for part in chosen]),
        np.concatenate([part.axes["time"] for part in chosen]),
        np.concatenate([part.axes["timestamp"] for part in chosen]),
        np.concatenate([part.values for part in chosen]),
        np.concatenate([part.kinds for part in chosen]),
        np.repeat(ranks, [len(part.numbers) for part in chosen]) if ranks.max() >= 0 else None,
    )
    return whole if order is None else whole.take(order)


def extent(connection: Connection, run: str) -> dict[str, tuple[float, float]]:
    """Return the least and greatest position on each axis; see Store.extent."""
    row = connection.execute(
        "SELECT * FROM extent WHERE run = ?", (runs.find(connection, run),)
    ).fetchone()
    if row is None:
        return {}
    ends = {axis: (row[f"{axis}_low"], row[f"{axis}_high"]) for axis in AXES}
    return {axis: pair for axis, pair in ends.items() if None not in pair}


def list_events(
    connection: Connection,
    run: str,
    contains: Sequence[str],
    start: int,
    count: int | None,
    levels: Sequence[str] | None,
) -> tuple[int, list[Event]]:
    """Return (total, events oldest first); raises NoSuchRun, RunGone."""
    condition, values = _such_events(runs.find(connection, run), contains, levels)
    total = connection.execute(f"SELECT count(*) FROM event WHERE {condition}", values).fetchone()
    rows = connection.execute(
        f"SELECT timestamp, log_level, message FROM event WHERE {condition} "
        "ORDER BY timestamp, key LIMIT ? OFFSET ?",
        [*values, conditions.ALL if count is None else count, start],
    )
    return total[0], [Event(*row) for row in rows]


def count_events(
    connection: Connection,
    run: str,
    contains: Sequence[str],
    begin: int,
    window: int,
    bars: int,
    levels: Sequence[str] | None,
) -> list[int]:
    """Return how many events fell into each window; raises NoSuchRun, RunGone."""
    condition, values = _such_events(runs.find(connection, run), contains, levels)
    rows = connection.execute(
        "SELECT (timestamp - ?) / ? AS bar, count(*) AS events FROM event "
        f"WHERE {condition} AND timestamp >= ? AND timestamp < ? GROUP BY bar",
        [begin, window, *values, begin, begin + bars * window],
    )
    counts = [0] * bars
    for row in rows:
        counts[row["bar"]] = row["events"]
    return counts


def _such_events(
    run: int, contains: Sequence[str], levels: Sequence[str] | None
) -> tuple[str, list[Any]]:
    """Return the condition of a run's events, and its values."""
    condition = "run = ?" + " AND instr(message, ?) > 0" * len(contains)
    if levels is None:
        return condition, [run, *contains]
    return f"{condition} AND log_level IN ({conditions.marks(levels)})", [run, *contains, *levels]
