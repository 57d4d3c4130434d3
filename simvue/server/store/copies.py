"""Copies: a whole store into an empty one, of either engine, while its servers run.

::

    source (sources.py)                                     target (targets.py)
    ┌────────────────────────┐   pages, or table by table   ┌──────────────────────────┐
    │ one moment of the rows │ ───────────────────────────> │ rows                     │
    │ blobs by their places  │ ──── links, or bytes ──────> │ blobs, at the same places│
    └────────────────────────┘                              └──────────────────────────┘
                                  vanished? looked up again

A backup, its way back, and the move from one engine to the other are this.  Rows keep their
keys and blobs their places, so nothing in the copy has to be told where the other things are.

Rows come first, as one moment has them.  A blob that is not there any more by the time it is
copied was deleted with its artifact meanwhile, or is lost: the source says which, and the
artifact goes from the copy as well, or its loss is told.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from simvue.exception import StoreError

from . import runs
from .blobs import Draft
from .connection import Connection
from .sources import Source
from .targets import Target

# A store in S3 answers after some 10 ms, and a disk syncs as many files at once (chosen).
_THREADS: Final = 8
# What waits for them at most; each takes a kilobyte (chosen).
_WAITING: Final = 4096
_READ: Final = 1 << 20
# Where one file cannot have two names.
_UNLINKABLE: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES)


@dataclass
class Copied:
    """What the copy holds, and a sentence for each thing that its source lacks."""

    runs: int = 0
    points: int = 0
    blobs: int = 0
    size: int = 0
    """Bytes of all blobs."""
    dropped: int = 0
    """Blobs that were deleted from the source meanwhile, and are not in the copy."""
    faults: list[str] = field(default_factory=list)


class _Blob(NamedTuple):
    table: str
    key: int
    place: str
    size: int
    checksum: str | None
    """None for packs, whose parts have their own."""


def copy(source: Source, target: Target) -> Copied:
    """Copy all of *source*.  Raises StoreError; what *source* itself lacks is told instead."""
    if _is_same(source.place, target.place):
        raise StoreError("two stores cannot share their blobs: name another place for the copy")
    target.take(source)
    # Blobs may take hours, for which no log of the source is to grow.
    source.tables.execute("ROLLBACK")
    copied = Copied()
    vanished = _carry_all(source, target, copied)
    if vanished:
        with source.later() as now:
            for blob in vanished:
                if _is_there(now, blob):
                    copied.faults.append(f"{_described(source, blob)} is not there")
                else:
                    _drop(now, target.connection, blob)
                    copied.dropped += 1
    copied.runs = target.connection.execute("SELECT count(*) FROM run").fetchone()[0]
    (points,) = target.connection.execute("SELECT sum(count) FROM metric").fetchone()
    copied.points = int(points or 0)
    return copied


# ---- Blobs ------------------------------------------------------------------------------


def _carry_all(source: Source, target: Target, copied: Copied) -> list[_Blob]:
    """Copy all blobs and count them; return those that are not there."""
    found = target.connection.execute(
        "SELECT 'blob', key, place, size, checksum FROM blob "
        "UNION ALL SELECT 'pack', key, place, size, NULL FROM pack"
    )
    blobs = [_Blob(*row) for row in found]
    vanished: list[_Blob] = []

    def carry(blob: _Blob) -> tuple[_Blob, str | None, bool]:
        try:
            return blob, _carry(source, target, blob), True
        except FileNotFoundError:
            return blob, None, False
        except OSError as error:
            raise StoreError(
                f"{_described(source, blob)} cannot be copied: {error.strerror or error}"
            ) from error

    with ThreadPoolExecutor(_THREADS) as pool:
        for begin in range(0, len(blobs), _WAITING):
            for blob, fault, is_there in pool.map(carry, blobs[begin : begin + _WAITING]):
                if fault:
                    copied.faults.append(fault)
                elif is_there:
                    copied.blobs += 1
                    copied.size += blob.size
                else:
                    vanished.append(blob)
    return vanished


def _carry(source: Source, target: Target, blob: _Blob) -> str | None:
    """Copy *blob*; return what is wrong with it.  Raises FileNotFoundError, OSError."""
    origin, goal = _folder(source.place), _folder(target.place)
    if origin and goal:
        if (origin / blob.place).stat().st_size != blob.size:
            return f"{_described(source, blob)} is not whole"
        if _link(origin / blob.place, goal / blob.place):
            return None
    with source.blobs.open(blob.place) as file:
        draft = _draft(target, blob.place)
        try:
            size = 0
            found = hashlib.sha256()
            while data := file.read(_READ):
                size += len(data)
                found.update(data)
                draft.write(data)
            if size != blob.size or blob.checksum not in (None, found.hexdigest()):
                draft.discard()
                return f"{_described(source, blob)} is not whole"
            draft.seal()
        except OSError:
            draft.discard()
            raise
    return None


def _link(file: Path, copy: Path) -> bool:
    """Give *file*, which never changes, a second name; False if it cannot have one."""
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(file, copy)
    except OSError as error:
        if error.errno in _UNLINKABLE:
            return False
        raise
    return True


def _draft(target: Target, place: str) -> Draft:
    try:
        return target.blobs.draft(place)
    except FileExistsError:
        # Of a copy to this place that was killed.
        target.blobs.remove(place)
        return target.blobs.draft(place)


def _is_same(place: str, other: str) -> bool:
    folder = _folder(place)
    return place == other if folder is None else folder == _folder(other)


def _folder(place: str) -> Path | None:
    """Return where the blobs at *place* are files; None where they are not."""
    return None if place.startswith("s3:") else Path(place).resolve()


def _described(source: Source, blob: _Blob) -> str:
    kind = "the content of artifacts" if blob.table == "blob" else "the pack of rows"
    return f"{kind} at {source.where(blob.place)}, {blob.size} bytes,"


# ---- What vanished ----------------------------------------------------------------------


def _is_there(now: Connection, blob: _Blob) -> bool:
    found = now.execute(f"SELECT 1 FROM {blob.table} WHERE place = ?", (blob.place,)).fetchone()
    return found is not None


def _drop(now: Connection, copy: Connection, blob: _Blob) -> None:
    """Delete from the *copy* what was deleted from the source with *blob*."""
    if blob.table == "blob":
        copy.execute("DELETE FROM artifact WHERE blob = ?", (blob.key,))
        return
    run = copy.execute(
        "SELECT run.id FROM fold JOIN shape ON shape.key = fold.shape "
        "JOIN run ON run.key = shape.run WHERE fold.pack = ? LIMIT 1",
        (blob.key,),
    ).fetchone()
    if run is None:
        # Its run was deleted even then, or with another of its packs.
        return
    if now.execute("SELECT 1 FROM run WHERE id = ?", (run["id"],)).fetchone():
        raise StoreError("rows were moved to other packs meanwhile: begin the copy again")
    runs.delete(copy, run["id"], int(time.time() * 1e6))
