"""Storages in SQL: the names under which artifacts are kept, one of them the default."""

from __future__ import annotations

import json
from typing import Any, Final

from simvue import wire

from . import Object
from .connection import Connection, Row

# What no answer may hold.
_SECRETS: Final = ("secret_access_key",)
_FLAGS: Final = ("is_default", "is_enabled", "is_tenant_useable")


def create(connection: Connection, storage: Object, owner: str, now: int) -> str:
    """Create a storage and return its id; raises ValueError if it cannot be the default."""
    _check_default(storage["backend"], storage)
    storage_id = wire.new_id()
    if storage["is_default"]:
        connection.execute("UPDATE storage SET is_default = ?", (False,))
    connection.execute(
        "INSERT INTO storage (id, owner, name, backend, config, is_default, is_enabled, "
        "is_tenant_useable, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            storage_id,
            owner,
            storage["name"],
            storage["backend"],
            json.dumps(storage.get("config") or {}),
            *(storage[name] for name in _FLAGS),
            now,
        ),
    )
    return storage_id


def get(connection: Connection, storage: str) -> Object | None:
    """Return the storage object with id *storage*."""
    row = connection.execute("SELECT * FROM storage WHERE id = ?", (storage,)).fetchone()
    return None if row is None else _object(connection, row)


def select(connection: Connection) -> list[Object]:
    """Return all storages, oldest first."""
    rows = connection.execute("SELECT * FROM storage ORDER BY created, key").fetchall()
    return [_object(connection, row) for row in rows]


def update(connection: Connection, storage: str, changes: Object) -> bool:
    """Apply *changes*; see Store.update_storage."""
    row = connection.execute("SELECT * FROM storage WHERE id = ?", (storage,)).fetchone()
    if row is None:
        return False
    members = ("name", *_FLAGS)
    columns = {name: changes[name] for name in members if changes.get(name) is not None}
    _check_default(row["backend"], {**dict(row), **columns})
    if row["is_default"] and columns.get("is_default") is False:
        raise ValueError("one storage is the default: make another one that instead")
    if changes.get("config") is not None:
        columns["config"] = json.dumps({**json.loads(row["config"]), **changes["config"]})
    if columns.get("is_default"):
        connection.execute("UPDATE storage SET is_default = ?", (False,))
    if columns:
        connection.execute(
            f"UPDATE storage SET {', '.join(f'{name} = ?' for name in columns)} WHERE key = ?",
            [*columns.values(), row["key"]],
        )
    return True


def delete(connection: Connection, storage: str) -> bool:
    """Delete the storage; False if there is none, ValueError if it is needed."""
    row = connection.execute(
        "SELECT key, is_default, EXISTS (SELECT 1 FROM artifact WHERE storage = storage.key) "
        "AS used FROM storage WHERE id = ?",
        (storage,),
    ).fetchone()
    if row is None:
        return False
    if row["is_default"]:
        raise ValueError("the default storage stays: make another one the default first")
    if row["used"]:
        raise ValueError("artifacts are kept in this storage: delete them first")
    connection.execute("DELETE FROM storage WHERE key = ?", (row["key"],))
    return True


def _check_default(backend: str, storage: Object) -> None:
    if backend != "File" and storage["is_default"]:
        raise ValueError(
            "this server keeps artifacts in its own folder: an S3 storage can be registered, "
            "but not be the default"
        )


def _object(connection: Connection, row: Row) -> dict[str, Any]:
    usage = connection.execute(
        "SELECT coalesce(sum(size), 0) FROM blob WHERE key IN "
        "(SELECT blob FROM artifact WHERE storage = ?)",
        (row["key"],),
    ).fetchone()[0]
    found = {
        "id": row["id"],
        "name": row["name"],
        "backend": row["backend"],
        **{name: bool(row[name]) for name in _FLAGS},
        "created": wire.format_timestamp(row["created"]),
        "user": row["owner"],
        "usage": usage,
        "status": {},
    }
    if row["backend"] != "File":
        config = json.loads(row["config"])
        found["config"] = {name: config[name] for name in config if name not in _SECRETS}
    return found
