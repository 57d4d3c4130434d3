"""Artifacts in SQL: registered, uploaded, attached to runs, found again.

Two artifacts with the same bytes stay two, and share one blob.  An artifact goes with the
last run that it is attached to, and its blob with the last artifact (triggers in sqlite.sql).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from simvue import wire

from . import Attached, IdTaken, Object, Query, blobs, conditions, runs
from .attributes import attributes, merged
from .connection import Connection, Row

# Registered, of no run, and never sent for so long: a spool that comes later registers anew.
_PATIENCE_US: Final = 30 * 86_400 * 1_000_000
_SELECT: Final = "SELECT artifact.*, storage.id AS storage_id"
_FROM: Final = "FROM artifact JOIN storage ON storage.key = artifact.storage"


def create(connection: Connection, artifact: Object, owner: str, now: int) -> tuple[str, bool]:
    """Register *artifact*; see Store.create_artifact."""
    digest = hashlib.sha256(json.dumps(artifact, sort_keys=True).encode()).digest()
    artifact_id = artifact.get("id") or wire.new_id()
    known = connection.execute(
        "SELECT owner, digest, blob FROM artifact WHERE id = ?", (artifact_id,)
    ).fetchone()
    if known is not None:
        if (known["owner"], known["digest"]) != (owner, digest):
            raise IdTaken(artifact_id)
        return artifact_id, known["blob"] is not None
    storage = connection.execute(
        "SELECT key FROM storage WHERE is_default AND is_enabled"
    ).fetchone()
    if storage is None:
        raise ValueError("no storage takes artifacts: enable one, and make it the default")
    # Only whoever has sent these bytes before need not send them: a stranger who knows no
    # more than their checksum would be given them.
    blob = connection.execute(
        "SELECT blob FROM artifact WHERE checksum = ? AND owner = ? AND blob IS NOT NULL",
        (artifact["checksum"], owner),
    ).fetchone()
    metadata = artifact.get("metadata") or {}
    key = connection.insert(
        "INSERT INTO artifact (id, owner, digest, name, original_path, size, mime_type, checksum, "
        "metadata, storage, blob, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            artifact_id,
            owner,
            digest,
            artifact["name"],
            artifact.get("original_path") or "",
            artifact["size"],
            artifact.get("mime_type") or "application/octet-stream",
            artifact["checksum"],
            json.dumps(metadata),
            storage["key"],
            blob and blob["blob"],
            now,
        ),
    )
    _set_attributes(connection, key, metadata)
    return artifact_id, blob is not None


def update(connection: Connection, artifact: str, changes: Object) -> bool:
    """Apply *changes*; see Store.update_artifact."""
    row = connection.execute("SELECT * FROM artifact WHERE id = ?", (artifact,)).fetchone()
    if row is None:
        return False
    if changes.get("uploaded") and row["blob"] is None:
        raise ValueError("its bytes did not arrive: send them to its url first")
    if changes.get("name") is not None:
        connection.execute(
            "UPDATE artifact SET name = ? WHERE key = ?", (changes["name"], row["key"])
        )
    if changes.get("metadata") is not None:
        metadata = merged(json.loads(row["metadata"]), changes["metadata"])
        connection.execute(
            "UPDATE artifact SET metadata = ? WHERE key = ?", (json.dumps(metadata), row["key"])
        )
        _set_attributes(connection, row["key"], metadata)
    return True


def _set_attributes(connection: Connection, key: int, metadata: Object) -> None:
    connection.execute("DELETE FROM attr WHERE artifact = ?", (key,))
    connection.executemany(
        "INSERT INTO attr (artifact, name, num, txt) VALUES (?, ?, ?, ?)",
        [(key, *attribute) for attribute in attributes("metadata", metadata)],
    )


def delete(connection: Connection, artifact: str) -> bool:
    """Delete the artifact, also from its runs; False if there is none."""
    return connection.execute("DELETE FROM artifact WHERE id = ?", (artifact,)).rowcount > 0


def attach(connection: Connection, run: str, artifact: str, category: str) -> bool:
    """Attach the artifact to the run, or change its category there; see Store.attach_artifact."""
    key = runs.find(connection, run)
    row = connection.execute("SELECT key FROM artifact WHERE id = ?", (artifact,)).fetchone()
    if row is None:
        return False
    connection.execute(
        "INSERT INTO run_artifact VALUES (?, ?, ?) "
        "ON CONFLICT (run, artifact) DO UPDATE SET category = excluded.category",
        (key, row["key"], category),
    )
    return True


# ---- Bytes ----------------------------------------------------------------------------


def await_sent(connection: Connection, artifact: str, until: int) -> str:
    """Note a place to which a client itself may send the bytes of *artifact* *until* then."""
    place = f"{_incoming(artifact)}{wire.new_id()}"
    expect(connection, place, until)
    return place


def sent(connection: Connection, artifact: str) -> list[str]:
    """Return the places where a client may have sent the bytes of *artifact*, the latest first."""
    prefix = _incoming(artifact)
    rows = connection.execute(
        "SELECT place FROM litter WHERE busy AND substr(place, 1, ?) = ? ORDER BY since DESC",
        (len(prefix), prefix),
    )
    return [row["place"] for row in rows]


def _incoming(artifact: str) -> str:
    return f"incoming/{artifact}-"


def begin(connection: Connection, artifact: str, now: int) -> tuple[str, str]:
    """Note a place for the bytes of *artifact* and return (place, checksum); raises KeyError."""
    row = connection.execute("SELECT checksum FROM artifact WHERE id = ?", (artifact,)).fetchone()
    if row is None:
        raise KeyError(artifact)
    place = blobs.new_place(row["checksum"])
    expect(connection, place, now)
    return place, row["checksum"]


def expect(connection: Connection, place: str, now: int) -> None:
    """Note that something is about to be written at *place*."""
    connection.execute("INSERT INTO litter VALUES (?, ?, ?)", (place, True, now))


def spoil(connection: Connection, *places: str) -> None:
    """Note that nobody needs what was written at *places*."""
    connection.executemany(
        "UPDATE litter SET busy = ? WHERE place = ?", [(False, place) for place in places]
    )


def keep(connection: Connection, artifact: str, place: str, size: int) -> None:
    """Give *artifact* the bytes at *place*, or equal ones that are there; raises KeyError."""
    row = connection.execute(
        "SELECT artifact.key, checksum, blob.key AS blob FROM artifact "
        "LEFT JOIN blob USING (checksum) WHERE id = ?",
        (artifact,),
    ).fetchone()
    if row is None:
        raise KeyError(artifact)
    blob = row["blob"]
    if blob is None:
        blob = connection.insert(
            "INSERT INTO blob (checksum, size, place) VALUES (?, ?, ?)",
            (row["checksum"], size, place),
        )
        connection.execute("DELETE FROM litter WHERE place = ?", (place,))
    else:
        spoil(connection, place)
    connection.execute("UPDATE artifact SET blob = ? WHERE key = ?", (blob, row["key"]))


def litter(connection: Connection) -> list[str]:
    """Return the places that nobody needs."""
    return [row["place"] for row in connection.execute("SELECT place FROM litter WHERE NOT busy")]


def forget(connection: Connection, places: Sequence[str]) -> None:
    """Strike *places*, whose files are gone, off the litter."""
    connection.executemany("DELETE FROM litter WHERE place = ?", [(place,) for place in places])


def recover(connection: Connection, now: int, dead: int) -> None:
    """Make litter of what was begun before *dead*, whose writer is; forget what nobody sends."""
    connection.execute("UPDATE litter SET busy = ? WHERE busy AND since <= ?", (False, dead))
    connection.execute(
        "DELETE FROM artifact WHERE blob IS NULL AND created < ? "
        "AND NOT EXISTS (SELECT 1 FROM run_artifact WHERE artifact = artifact.key)",
        (now - _PATIENCE_US,),
    )


def place(connection: Connection, artifact: str) -> tuple[str, int] | None:
    """Return (place, size) of the artifact's bytes; None if there are none, or no artifact."""
    row = connection.execute(
        "SELECT place, blob.size FROM artifact JOIN blob ON blob.key = artifact.blob WHERE id = ?",
        (artifact,),
    ).fetchone()
    return None if row is None else (row["place"], row["size"])


# ---- Reading ----------------------------------------------------------------------------


def get(connection: Connection, artifact: str) -> Object | None:
    """Return the artifact object with id *artifact*."""
    row = connection.execute(f"{_SELECT} {_FROM} WHERE artifact.id = ?", (artifact,)).fetchone()
    return None if row is None else _objects(connection, [row])[0]


def select(
    connection: Connection, query: Query, of_runs: Sequence[str], now: int
) -> tuple[int, list[Object]]:
    """Return (total, artifact objects), newest first unless *query* sorts; see Store."""
    condition, values = conditions.where(conditions.ARTIFACT, query.filters, "", now)
    if of_runs:
        chosen, ids = conditions.among("run.id", of_runs)
        condition += (
            " AND artifact.key IN (SELECT artifact FROM run_artifact JOIN run "
            f"ON run.key = run_artifact.run WHERE {chosen})"
        )
        values = [*values, *ids]
    order = conditions.order(conditions.ARTIFACT, query, "artifact.created DESC, artifact.key DESC")
    limit, limit_values = conditions.page(query)
    total = connection.execute(f"SELECT count(*) {_FROM} WHERE {condition}", values).fetchone()[0]
    rows = connection.execute(
        f"{_SELECT} {_FROM} {order.joins} WHERE {condition} ORDER BY {order.by} {limit}",
        [*order.values, *values, *limit_values],
    ).fetchall()
    return total, _objects(connection, rows)


def of_run(connection: Connection, run: str) -> list[Object]:
    """Return the uploaded artifacts of *run* with their ``category``, oldest first."""
    rows = connection.execute(
        f"{_SELECT}, mine.category {_FROM} JOIN run_artifact mine ON mine.artifact = artifact.key "
        "WHERE mine.run = ? AND blob IS NOT NULL ORDER BY artifact.created, artifact.key",
        (runs.find(connection, run),),
    ).fetchall()
    found = _objects(connection, rows)
    return [{**one, "category": row["category"]} for one, row in zip(found, rows, strict=True)]


def category(connection: Connection, run: str, artifact: str) -> str | None:
    """Return what the artifact is to the run; None if it is not attached to it."""
    row = connection.execute(
        "SELECT category FROM run_artifact JOIN artifact ON artifact.key = run_artifact.artifact "
        "WHERE run_artifact.run = ? AND artifact.id = ?",
        (runs.find(connection, run), artifact),
    ).fetchone()
    return None if row is None else row["category"]


def lineage(connection: Connection, checksum: str) -> list[Attached]:
    """Return every run that has bytes with this checksum, the first that had them first."""
    rows = connection.execute(
        "SELECT run.id AS run, run.name AS run_name, artifact.id AS artifact, "
        "artifact.name AS name, category FROM artifact "
        "JOIN run_artifact ON run_artifact.artifact = artifact.key "
        "JOIN run ON run.key = run_artifact.run "
        "WHERE checksum = ? AND blob IS NOT NULL ORDER BY artifact.created, artifact.key, run.key",
        (checksum,),
    )
    return [Attached(**dict(row)) for row in rows]


def _objects(connection: Connection, rows: Sequence[Row]) -> list[Object]:
    """Return the artifact objects of *rows*; asks as often for many as for one."""
    of_runs: defaultdict[int, list[str]] = defaultdict(list)
    for some in conditions.slices([row["key"] for row in rows]):
        for row in connection.execute(
            "SELECT artifact, run.id FROM run_artifact link JOIN run ON run.key = link.run "
            f"WHERE artifact IN ({conditions.marks(some)}) ORDER BY run.key",
            some,
        ):
            of_runs[row["artifact"]].append(row["id"])
    return [
        {
            "id": row["id"],
            "name": row["name"],
            "original_path": row["original_path"],
            "size": row["size"],
            "mime_type": row["mime_type"],
            "checksum": row["checksum"],
            "metadata": json.loads(row["metadata"]),
            "created": wire.format_timestamp(row["created"]),
            "uploaded": row["blob"] is not None,
            "storage_id": row["storage_id"],
            "user": row["owner"],
            "runs": of_runs[row["key"]],
        }
        for row in rows
    ]
