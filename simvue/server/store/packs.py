"""Packs: the rows of full folds move among the blobs, where those are a storage of their own.

::

    database                                     blobs
    fold   cells, ends       stay                pack   [axes][rows][rows]..[axes][rows]..
    fold   axes  ──────────────────────────────────────>  ^ start, size
    chunk  rows  ──────────────────────────────────────────────> ^ start, size

A chart is drawn from cells; rows are read, a range of a pack each, where it is zoomed in so far
that it shows single ones, and where a whole series is asked for.  A pack holds rows of one run,
and goes with its last fold.  It is written and durable before the transaction that refers to
it, and noted as litter before it is begun, so that a death at any moment leaves either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Final, NamedTuple

from simvue import wire
from simvue.exception import StoreError

from . import artifacts, fold
from .blobs import Blobs
from .connection import Connection
from .leases import Lease

FOLDS: Final = 8
"""Folds of a pack: between 2 and 40 MiB, which is what such storages are made for, and each of
their requests costs as much as it would for a byte (chosen)."""


class _Piece(NamedTuple):
    """What of one fold moves: axes, and of its chunks key and rows."""

    fold: int
    axes: bytes
    chunks: list[tuple[int, bytes]]

    def parts(self) -> Iterator[bytes]:
        yield self.axes
        for _, rows in self.chunks:
            yield rows


class _Load(NamedTuple):
    """What one pack holds."""

    run: str
    shape: int
    pieces: list[_Piece]


class Packing:
    """Moves rows into packs, one after the other, for all who share a store.

    *reading* lends a connection that sees one moment; *write* runs work in a transaction.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Connection]],
        write: Callable[[Callable[[Connection], bool], int], bool],
        blobs: Blobs,
        clock: Callable[[], float],
    ) -> None:
        self._reading = reading
        self._blobs = blobs
        self._clock = clock
        self._lease = Lease("pack", write, clock)
        self._lock = threading.Lock()

    def step(self) -> bool:
        """Write a pack; False if none is due, or if another process does it.

        Raises StoreError; what was not moved stays where it is, and is read there.
        """
        with self._lock:
            with self._reading() as connection:
                due = _due(connection)
            # Before they are read: another process may be at it.
            if due is None or not self._lease.held():
                return False
            with self._reading() as connection:
                load = _read(connection, *due)
            # Unless it went with its run since.
            return self._write(load) if load.pieces else True

    def _write(self, load: _Load) -> bool:
        name = wire.new_id()
        place = f"{name[:2]}/pack-{name}"
        now = int(self._clock() * 1e6)
        if not self._lease.commit(lambda connection: artifacts.expect(connection, place, now)):
            return False
        try:
            draft = self._blobs.draft(place)
            try:
                for piece in load.pieces:
                    for part in piece.parts():
                        draft.write(part)
                draft.seal()
            except OSError:
                with suppress(OSError):
                    draft.discard()
                raise
        except OSError as error:
            self._lease.commit(lambda connection: artifacts.spoil(connection, place))
            raise StoreError(f"rows cannot be moved to the blobs: {error}") from error
        return self._lease.commit(lambda connection: _refer(connection, load, place))


def _due(connection: Connection) -> tuple[str, int] | None:
    """Return the run and the shape of the next pack: of a run that has many folds, or has ended."""
    row = connection.execute(
        "SELECT shape, run.id FROM fold JOIN shape ON shape.key = shape "
        "JOIN run ON run.key = shape.run "
        "WHERE level = 0 AND sealed AND pack IS NULL GROUP BY shape, run.id, run.status "
        "HAVING count(*) >= ? OR run.status IN ('completed', 'failed', 'terminated') LIMIT 1",
        (FOLDS,),
    ).fetchone()
    return None if row is None else (row["id"], row["shape"])


def _read(connection: Connection, run: str, shape: int) -> _Load:
    """Read what a pack of *run* is to hold."""
    folds = connection.execute(
        "SELECT key, axes FROM fold WHERE shape = ? AND level = 0 AND sealed AND pack IS NULL "
        "ORDER BY writer, first LIMIT ?",
        (shape, FOLDS),
    ).fetchall()
    pieces = []
    for found in folds:
        chunks = connection.execute(
            "SELECT key, rows FROM chunk WHERE fold = ? ORDER BY metric", (found["key"],)
        ).fetchall()
        pieces.append(_Piece(found["key"], found["axes"], [tuple(chunk) for chunk in chunks]))
    return _Load(run, shape, pieces)


def _refer(connection: Connection, load: _Load, place: str) -> None:
    """Say that the rows of *load* lie at *place*, and no longer here; not if their run is gone."""
    if not fold.lives(connection, load.run, load.shape):
        artifacts.spoil(connection, place)
        return
    size = sum(len(part) for piece in load.pieces for part in piece.parts())
    pack = connection.insert("INSERT INTO pack (place, size) VALUES (?, ?)", (place, size))
    artifacts.forget(connection, [place])
    folds: list[tuple[int, int, int, int]] = []
    chunks: list[tuple[int, int, int]] = []
    start = 0
    for piece in load.pieces:
        folds.append((pack, start, len(piece.axes), piece.fold))
        start += len(piece.axes)
        for key, rows in piece.chunks:
            chunks.append((start, len(rows), key))
            start += len(rows)
    moved = connection.executemany(
        "UPDATE fold SET pack = ?, start = ?, size = ?, axes = NULL WHERE key = ? AND pack IS NULL",
        folds,
    ).rowcount
    fold.expect(moved, folds)
    connection.executemany(
        "UPDATE chunk SET start = ?, size = ?, rows = NULL WHERE key = ?", chunks
    )


def read(blobs: Blobs, place: str, start: int, size: int) -> bytes:
    """Return *size* bytes of the pack at *place*.  Raises StoreError."""
    try:
        found = blobs.read(place, start, size)
    except OSError as error:
        raise StoreError(f"rows among the blobs cannot be read: {error}") from error
    if len(found) < size:
        raise StoreError(f"the blob {place} ends before byte {start + size}")
    return found
