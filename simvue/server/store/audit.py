"""An audit of a store, of either engine: does it hold, and are all its rows there?

Reads only, as one moment has it, so servers may be at work meanwhile.  What the ranges of a
writer say was stored (`span`) is counted against the rows in its bodies and folds, number by
number; of folds the values of every metric are read as well, since each lies for itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from simvue.exception import StoreError

from . import chunks, columns, parts
from .cells import AXES
from .connection import Connection, Row
from .sources import Source, open_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bodies that are in memory at a time: each may have some megabytes (chosen).
_SLICE: Final = 16
# Blobs that are asked for at a time: one in S3 takes some 10 ms to answer (chosen).
_THREADS: Final = 8


@dataclass
class Audit:
    """What was counted, and a sentence for each thing that is wrong."""

    runs: int = 0
    writers: int = 0
    rows: int = 0
    """Rows of metrics whose numbers are noted as stored, and that are there."""
    events: int = 0
    blobs: int = 0
    """Contents of artifacts, which are there in full length; they are not read."""
    faults: list[str] = field(default_factory=list)


class _Gone(Exception):
    """What is read was deleted since the moment of the audit."""


def audit(store: str | Path, blobs: str | None = None) -> Audit:
    """Audit the *store*, named with its *blobs* as open_store takes them.

    Reads all rows: about a second for 100 MB of bodies.  Raises StoreError if there is none, or
    it cannot be opened.
    """
    found = Audit()
    try:
        with open_source(str(store), blobs) as source:
            found.faults += source.tables.faults()
            _count(source.tables, found)
            _check_rows(source, found)
            _check_events(source.tables, found)
            _check_blobs(source, found)
    except StoreError as error:
        if not found.faults:
            raise
        found.faults.append(f"reading stopped: {error}")
    return found


def _count(connection: Connection, found: Audit) -> None:
    found.runs = connection.execute("SELECT count(*) FROM run").fetchone()[0]
    found.writers = connection.execute("SELECT count(*) FROM writer").fetchone()[0]
    found.events = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    found.blobs = connection.execute("SELECT count(*) FROM blob").fetchone()[0]


# ---- Rows -------------------------------------------------------------------------------


class _Writer(NamedTuple):
    key: int
    name: str
    run: int


def _check_rows(source: Source, found: Audit) -> None:
    """Hold the row numbers in the bodies and folds of each writer against its ranges."""
    writers = source.tables.execute(
        "SELECT writer.key, writer.id, run.key AS run_key, run.id AS run FROM writer "
        "JOIN run ON run.key = writer.run WHERE kind = 'metrics' ORDER BY writer.key"
    ).fetchall()
    for row in writers:
        name = f"writer {row['id'] or 'without a name'} of run {row['run']}"
        writer = _Writer(row["key"], name, row["run_key"])
        faults: list[str] = []
        try:
            numbers = [
                *_in_bodies(source.tables, writer, faults),
                *_in_folds(source, writer, faults),
            ]
        except _Gone:
            continue
        found.faults += faults
        _compare(source.tables, writer, numbers, found)


def _compare(
    connection: Connection, writer: _Writer, numbers: list[NDArray[np.int64]], found: Audit
) -> None:
    there = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0, np.int64)
    twice = int((np.diff(there) == 0).sum())
    if twice:
        found.faults.append(f"{writer.name}: {twice} rows are there twice")
        there = np.unique(there)
    noted = missing = 0
    spans = connection.execute('SELECT first, "end" FROM span WHERE writer = ?', (writer.key,))
    for first, end in spans:
        here = int(np.searchsorted(there, end) - np.searchsorted(there, first))
        noted += here
        missing += end - first - here
    found.rows += noted
    if missing:
        found.faults.append(f"{writer.name}: {missing} rows are noted as stored and are not there")
    if noted != len(there):
        found.faults.append(f"{writer.name}: {len(there) - noted} rows are there and not noted")


def _in_bodies(
    connection: Connection, writer: _Writer, faults: list[str]
) -> Iterator[NDArray[np.int64]]:
    shapes = connection.execute("SELECT key FROM shape WHERE run = ?", (writer.run,)).fetchall()
    for shape in shapes:
        last = -1
        while bodies := connection.execute(
            "SELECT key, first, chunk FROM body WHERE shape = ? AND writer = ? AND key > ? "
            "ORDER BY key LIMIT ?",
            (shape["key"], writer.key, last, _SLICE),
        ).fetchall():
            last = bodies[-1]["key"]
            for body in bodies:
                try:
                    block = chunks.decode(body["chunk"], ())
                except StoreError as error:
                    faults.append(f"body {body['key']}: {error}")
                    continue
                places = np.arange(len(block.step)) if block.places is None else block.places
                yield body["first"] + places.astype(np.int64)


def _in_folds(source: Source, writer: _Writer, faults: list[str]) -> Iterator[NDArray[np.int64]]:
    folds = source.tables.execute(
        "SELECT fold.key, names, place, start, fold.size FROM fold "
        "JOIN shape ON shape.key = fold.shape LEFT JOIN pack ON pack.key = fold.pack "
        "WHERE shape.run = ? AND fold.writer = ? AND level = 0",
        (writer.run, writer.key),
    ).fetchall()
    for fold in folds:
        yield _check_fold(source, fold, faults)


def _check_fold(source: Source, fold: Row, faults: list[str]) -> NDArray[np.int64]:
    """Read a fold with all its chunks; return the numbers of its rows, none if it is damaged."""
    name = f"fold {fold['key']}"
    (axes,) = source.tables.execute(
        "SELECT axes FROM fold WHERE key = ?", (fold["key"],)
    ).fetchone()
    try:
        data = _whole(source, fold["place"], fold["start"], fold["size"], axes)
        numbers, _ = parts.decode_axes(data, AXES)
    except StoreError as error:
        faults.append(f"{name}: {error}")
        return np.zeros(0, np.int64)
    for metric, title in enumerate(json.loads(fold["names"])):
        chunk = source.tables.execute(
            "SELECT rows, start, size FROM chunk WHERE fold = ? AND metric = ?",
            (fold["key"], metric),
        ).fetchone()
        if chunk is None:
            faults.append(f"{name} has no chunk of metric {title}")
            continue
        try:
            data = _whole(source, fold["place"], chunk["start"], chunk["size"], chunk["rows"])
            values, _ = columns.decode(data, [0, 1])
        except StoreError as error:
            faults.append(f"{name}, metric {title}: {error}")
            continue
        if len(values) != len(numbers):
            faults.append(f"{name}, metric {title}: {len(values)} values of {len(numbers)} rows")
    return numbers


def _whole(
    source: Source, place: str | None, start: int | None, size: int | None, data: bytes | None
) -> bytes:
    """Return *data*, or what lies in a pack instead.  Raises _Gone, StoreError."""
    if data is not None:
        return data
    if place is None or start is None or size is None:
        raise StoreError("it is neither in the database nor in a pack")
    try:
        return source.tables.fetch(place, start, size)
    except StoreError:
        if not _is_there(source, "pack", place):
            raise _Gone from None
        raise


# ---- The rest ---------------------------------------------------------------------------


def _check_events(connection: Connection, found: Audit) -> None:
    """Hold the count of a run's events against its writers'; others may have sent more."""
    lacking = connection.execute(
        "SELECT id, noted, stored FROM ("
        'SELECT run.id, sum(span."end" - span.first) AS noted, '
        "(SELECT count(*) FROM event WHERE event.run = run.key) AS stored "
        "FROM writer JOIN span ON span.writer = writer.key JOIN run ON run.key = writer.run "
        "WHERE writer.kind = 'events' GROUP BY run.key) AS counted WHERE stored < noted"
    )
    for row in lacking:
        count = row["noted"] - row["stored"]
        found.faults.append(f"run {row['id']}: {count} events are noted and are not there")


def _check_blobs(source: Source, found: Audit) -> None:
    """Hold what lies among the blobs against what the database says of it."""

    def size(blob: Row) -> int | None:
        try:
            return source.blobs.size(blob["place"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"the blobs cannot be read: {error.strerror or error}") from error

    for table, what in (("blob", "content of artifacts"), ("pack", "pack of rows")):
        blobs = source.tables.execute(f"SELECT place, size FROM {table}").fetchall()
        with ThreadPoolExecutor(_THREADS) as pool:
            for blob, there in zip(blobs, pool.map(size, blobs), strict=True):
                # A running server may have deleted some since.
                if there == blob["size"] or not _is_there(source, table, blob["place"]):
                    continue
                state = "is not there" if there is None else f"has {there} bytes of {blob['size']}"
                found.faults.append(f"the {what} at {source.where(blob['place'])} {state}")


def _is_there(source: Source, table: str, place: str) -> bool:
    with source.later() as now:
        found = now.execute(f"SELECT 1 FROM {table} WHERE place = ?", (place,)).fetchone()
    return found is not None
