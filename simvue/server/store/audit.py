"""An audit of an embedded store: does the file hold, and are all its rows there?

Reads only, in one snapshot, so the server may be running meanwhile.  What the ranges of a
writer say was stored (`span`) is counted against the rows in its bodies and folds, number by
number; of folds the values of every metric are read as well, since each lies for itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from simvue.exception import StoreError

from . import chunks, columns, parts
from .cells import AXES
from .sqlite import SCHEMA

_LOCK_WAIT_S: Final = 10.0
"""As the server's: a backup may have the file locked for a moment."""


@dataclass
class Audit:
    """What was counted, and a sentence for each thing that is wrong."""

    runs: int = 0
    writers: int = 0
    rows: int = 0
    """Rows of metrics whose numbers are noted as stored, and that are there."""
    events: int = 0
    blobs: int = 0
    """Contents of artifacts, whose files are there in full length; they are not read."""
    faults: list[str] = field(default_factory=list)


def audit(directory: Path) -> Audit:
    """Audit the store in *directory*.  Reads all of it: about a second for 100 MB of bodies.

    Raises StoreError if there is none, or it cannot be opened.
    """
    file = directory / "simvue.db"
    if not file.exists():
        raise StoreError(f"there is no store in {directory}: it has no simvue.db")
    found = Audit()
    try:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=_LOCK_WAIT_S,
            isolation_level=None,
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN")
            _check_file(connection, found)
            _count(connection, found)
            _check_rows(connection, found)
            _check_events(connection, found)
            _check_blobs(connection, directory / "blobs", found)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if not found.faults:
            raise StoreError(f"the store in {directory} cannot be read: {error}") from None
        found.faults.append(f"reading stopped: {error}")
    return found


def _check_file(connection: sqlite3.Connection, found: Audit) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA:
        raise StoreError(f"the store has version {version}, this program reads {SCHEMA}")
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            found.faults.append(f"the database file is damaged: {line}")
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        found.faults.append(f"row {row} of {table} belongs to a {parent} that is not there")


def _count(connection: sqlite3.Connection, found: Audit) -> None:
    found.runs = connection.execute("SELECT count(*) FROM run").fetchone()[0]
    found.writers = connection.execute("SELECT count(*) FROM writer").fetchone()[0]
    found.events = connection.execute("SELECT count(*) FROM event").fetchone()[0]


def _check_rows(connection: sqlite3.Connection, found: Audit) -> None:
    """Hold the row numbers in the bodies of each writer against its ranges."""
    numbers: dict[int, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = defaultdict(list)
    # A body's writer goes with its run, and the bodies of deleted runs are on their way out.
    bodies = connection.execute(
        "SELECT body.key, body.writer, body.first, body.chunk FROM body "
        "JOIN shape ON shape.key = body.shape WHERE shape.run IS NOT NULL"
    )
    for body in bodies:
        try:
            block = chunks.decode(body["chunk"], ())
        except StoreError as error:
            found.faults.append(f"body {body['key']}: {error}")
            continue
        places = np.arange(len(block.step)) if block.places is None else block.places
        numbers[body["writer"]].append(body["first"] + places.astype(np.int64))
    for fold in connection.execute(
        "SELECT fold.key, writer, axes, names FROM fold JOIN shape ON shape.key = shape "
        "WHERE run IS NOT NULL AND level = 0"
    ):
        numbers[fold["writer"]].append(_check_fold(connection, fold, found))
    writers = connection.execute(
        "SELECT writer.key, writer.id, run.id AS run FROM writer "
        "JOIN run ON run.key = writer.run WHERE kind = 'metrics'"
    ).fetchall()
    for writer in writers:
        stored = numbers.get(writer["key"], [])
        there = np.sort(np.concatenate(stored)) if stored else np.zeros(0, np.int64)
        name = f"writer {writer['id'] or 'without a name'} of run {writer['run']}"
        twice = int((np.diff(there) == 0).sum())
        if twice:
            found.faults.append(f"{name}: {twice} rows are there twice")
            there = np.unique(there)
        noted = missing = 0
        spans = connection.execute(
            'SELECT first, "end" FROM span WHERE writer = ?', (writer["key"],)
        )
        for first, end in spans:
            here = int(np.searchsorted(there, end) - np.searchsorted(there, first))
            noted += here
            missing += end - first - here
        found.rows += noted
        if missing:
            found.faults.append(f"{name}: {missing} rows are noted as stored and are not there")
        if noted != len(there):
            found.faults.append(f"{name}: {len(there) - noted} rows are there and not noted")


def _check_fold(
    connection: sqlite3.Connection, fold: sqlite3.Row, found: Audit
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Read a fold with all its chunks; return the numbers of its rows, none if it is damaged."""
    try:
        numbers, _ = parts.decode_axes(fold["axes"], AXES)
    except StoreError as error:
        found.faults.append(f"fold {fold['key']}: {error}")
        return np.zeros(0, np.int64)
    chunk_rows = dict(
        connection.execute("SELECT metric, rows FROM chunk WHERE fold = ?", (fold["key"],))
    )
    for metric, name in enumerate(json.loads(fold["names"])):
        if metric not in chunk_rows:
            found.faults.append(f"fold {fold['key']} has no chunk of metric {name}")
            continue
        try:
            values, _ = columns.decode(chunk_rows[metric], [0, 1])
        except StoreError as error:
            found.faults.append(f"fold {fold['key']}, metric {name}: {error}")
            continue
        if len(values) != len(numbers):
            found.faults.append(
                f"fold {fold['key']}, metric {name}: {len(values)} values of {len(numbers)} rows"
            )
    return numbers


def _check_events(connection: sqlite3.Connection, found: Audit) -> None:
    """Hold the count of a run's events against its writers'; others may have sent more."""
    lacking = connection.execute(
        'SELECT run.id AS run, sum(span."end" - span.first) AS noted, '
        "(SELECT count(*) FROM event WHERE event.run = run.key) AS stored "
        "FROM writer JOIN span ON span.writer = writer.key JOIN run ON run.key = writer.run "
        "WHERE writer.kind = 'events' GROUP BY run.key HAVING stored < noted"
    )
    for row in lacking:
        count = row["noted"] - row["stored"]
        found.faults.append(f"run {row['run']}: {count} events are noted and are not there")


def _check_blobs(connection: sqlite3.Connection, folder: Path, found: Audit) -> None:
    """Hold the files of artifacts against what the database says of them."""
    blobs = connection.execute("SELECT key, place, size FROM blob").fetchall()
    found.blobs = len(blobs)
    # A running server may have deleted some since the snapshot was taken.
    connection.execute("ROLLBACK")
    for blob in blobs:
        path = folder / blob["place"]
        size = _size(path)
        if size == blob["size"]:
            continue
        if connection.execute("SELECT 1 FROM blob WHERE key = ?", (blob["key"],)).fetchone():
            state = "is not there" if size is None else f"has {size} bytes of {blob['size']}"
            found.faults.append(f"the file {path} of artifacts {state}")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
