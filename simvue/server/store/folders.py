"""Folders and tags in SQL.

A folder exists with all its parents up to ``/``; a tag exists as soon as anything carries it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from simvue import wire

from . import Object, Query, conditions
from .attributes import attributes, merged
from .connection import Connection, Row

# What official clients show for a tag that nobody gave a colour.
_COLOUR: Final = "#808080"

# ---- Folders ------------------------------------------------------------------------


def ensure(connection: Connection, path: str, now: int) -> int:
    """Return the key of the folder at *path*, making it and its parents where they lack."""
    if not path.startswith("/"):
        raise ValueError(f"folder {path!r} must begin with /")
    lacking = []
    while True:
        row = connection.execute("SELECT key FROM folder WHERE path = ?", (path,)).fetchone()
        if row is not None:
            break
        lacking.append(path)
        if path == "/":
            break
        path = path.rpartition("/")[0] or "/"
    key: int | None = row["key"] if row else None
    for path in reversed(lacking):
        key = connection.insert(
            "INSERT INTO folder (id, path, created, modified) VALUES (?, ?, ?, ?)",
            (wire.new_id(), path, now, now),
        )
    assert key is not None
    return key


def create(connection: Connection, folder: Object, now: int) -> tuple[str, bool]:
    """Create the folder; see Store.create_folder."""
    row = connection.execute("SELECT id FROM folder WHERE path = ?", (folder["path"],)).fetchone()
    if row is not None:
        return row["id"], False
    key = ensure(connection, folder["path"], now)
    folder_id: str = connection.execute("SELECT id FROM folder WHERE key = ?", (key,)).fetchone()[0]
    update(connection, folder_id, folder, now)
    return folder_id, True


def get(connection: Connection, folder: str) -> Object | None:
    """Return the folder object with id *folder*."""
    row = connection.execute("SELECT * FROM folder WHERE id = ?", (folder,)).fetchone()
    return None if row is None else _folders(connection, [row])[0]


def select(connection: Connection, query: Query, now: int) -> tuple[int, list[Object]]:
    """Return (total, the page's folder objects), newest first unless *query* sorts."""
    newest = "folder.created DESC, folder.key DESC"
    total, rows = _select(connection, conditions.FOLDER, query, newest, now)
    return total, [one for some in conditions.slices(rows) for one in _folders(connection, some)]


def update(connection: Connection, folder: str, changes: Object, now: int) -> bool:
    """Apply *changes*; see Store.update_folder."""
    old = connection.execute("SELECT * FROM folder WHERE id = ?", (folder,)).fetchone()
    if old is None:
        return False
    columns: dict[str, Any] = {"modified": now}
    columns |= {name: changes[name] for name in ("name", "description", "ttl") if name in changes}
    if changes.get("starred") is not None:
        columns["starred"] = changes["starred"]
    if changes.get("metadata") is not None:
        metadata = merged(json.loads(old["metadata"]), changes["metadata"])
        columns["metadata"] = json.dumps(metadata)
        connection.execute("DELETE FROM attr WHERE folder = ?", (old["key"],))
        connection.executemany(
            "INSERT INTO attr (folder, name, num, txt) VALUES (?, ?, ?, ?)",
            [(old["key"], *attribute) for attribute in attributes("metadata", metadata)],
        )
    _write(connection, "folder", old["key"], columns)
    if changes.get("tags") is not None:
        set_tags(connection, "folder", old["key"], changes["tags"], now)
    return True


def contents(
    connection: Connection, folder: str, recursive: bool
) -> tuple[str, list[str], list[str]]:
    """Return the path, and the ids of the folders below *folder* and of the runs in it.

    With *recursive*, runs of the folders below are counted in.  Raises KeyError if there is
    no such folder.
    """
    row = connection.execute("SELECT path FROM folder WHERE id = ?", (folder,)).fetchone()
    if row is None:
        raise KeyError(folder)
    path = row["path"]
    start, end = conditions.below(path)
    below = connection.execute(
        "SELECT id FROM folder WHERE path > ? AND path < ? AND id != ? ORDER BY path",
        (start, end, folder),
    ).fetchall()
    runs = connection.execute(
        "SELECT run.id FROM run JOIN folder ON folder.key = run.folder "
        "WHERE folder.path = ? OR (? AND folder.path > ? AND folder.path < ?)",
        (path, recursive, start, end),
    ).fetchall()
    return path, [item["id"] for item in below], [item["id"] for item in runs]


def delete(connection: Connection, folders: Iterable[str]) -> None:
    """Delete *folders*, which hold no runs any more."""
    connection.executemany("DELETE FROM folder WHERE id = ?", [(folder,) for folder in folders])


def _folders(connection: Connection, rows: Sequence[Row]) -> list[Object]:
    """Return the folder objects of *rows*; asks as often for many as for one."""
    keys = [row["key"] for row in rows]
    tags = tags_of(connection, "folder", keys)
    runs = dict(
        connection.execute(
            f"SELECT folder, count(*) FROM run WHERE folder IN ({conditions.marks(keys)}) "
            "GROUP BY folder",
            keys,
        ).fetchall()
    )
    return [
        {
            "id": row["id"],
            "path": row["path"],
            "name": row["name"],
            "description": row["description"],
            "created": wire.format_timestamp(row["created"]),
            "modified": wire.format_timestamp(row["modified"]),
            "ttl": row["ttl"],
            "starred": bool(row["starred"]),
            "tags": tags[row["key"]],
            "metadata": json.loads(row["metadata"]),
            "runs": runs.get(row["key"], 0),
        }
        for row in rows
    ]


# ---- Tags -----------------------------------------------------------------------------


def set_tags(connection: Connection, table: str, key: int, tags: Iterable[str], now: int) -> None:
    """Give the run or folder (*table*) with *key* these *tags*, in this order, and no others."""
    connection.execute(f"DELETE FROM {table}_tag WHERE {table} = ?", (key,))
    for place, name in enumerate(dict.fromkeys(tags)):
        tag, _ = create_tag(connection, {"name": name}, now)
        connection.execute(
            f"INSERT INTO {table}_tag SELECT ?, ?, key FROM tag WHERE id = ?", (key, place, tag)
        )


def tags_of(connection: Connection, table: str, keys: Sequence[int]) -> Mapping[int, list[str]]:
    """Return the tags of the runs or folders (*table*) with *keys*, by key."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for row in connection.execute(
        f"SELECT link.{table} AS owner, tag.name FROM {table}_tag link "
        f"JOIN tag ON tag.key = link.tag WHERE link.{table} IN ({conditions.marks(keys)}) "
        "ORDER BY link.place",
        keys,
    ):
        found[row["owner"]].append(row["name"])
    return found


def create_tag(connection: Connection, tag: Object, now: int) -> tuple[str, bool]:
    """Create the tag by name; see Store.create_tag."""
    row = connection.execute("SELECT id FROM tag WHERE name = ?", (tag["name"],)).fetchone()
    if row is not None:
        return row["id"], False
    tag_id = wire.new_id()
    connection.execute(
        "INSERT INTO tag (id, name, colour, description, created) VALUES (?, ?, ?, ?, ?)",
        (tag_id, tag["name"], tag.get("colour") or _COLOUR, tag.get("description") or "", now),
    )
    return tag_id, True


def get_tag(connection: Connection, tag: str) -> Object | None:
    """Return the tag object with id *tag*."""
    row = connection.execute("SELECT * FROM tag WHERE id = ?", (tag,)).fetchone()
    return None if row is None else _tag(row)


def select_tags(connection: Connection, query: Query, now: int) -> tuple[int, list[Object]]:
    """Return (total, the page's tag objects), by name unless *query* sorts."""
    total, rows = _select(connection, conditions.TAG, query, "tag.name", now)
    return total, [_tag(row) for row in rows]


def update_tag(connection: Connection, tag: str, changes: Object) -> bool:
    """Apply *changes*; see Store.update_tag.  Raises ValueError if the new name is taken."""
    row = connection.execute("SELECT key FROM tag WHERE id = ?", (tag,)).fetchone()
    if row is None:
        return False
    name = changes.get("name")
    if (
        name is not None
        and connection.execute(
            "SELECT 1 FROM tag WHERE name = ? AND id != ?", (name, tag)
        ).fetchone()
    ):
        raise ValueError(f"there is another tag called {name!r}")
    members = ("name", "colour", "description")
    columns = {key: changes[key] for key in members if changes.get(key) is not None}
    if columns:
        _write(connection, "tag", row["key"], columns)
    return True


def delete_tag(connection: Connection, tag: str) -> bool:
    """Delete the tag, also from all that carries it; False if there is none."""
    return connection.execute("DELETE FROM tag WHERE id = ?", (tag,)).rowcount > 0


def _tag(row: Row) -> Object:
    return {
        "id": row["id"],
        "name": row["name"],
        "colour": row["colour"],
        "description": row["description"],
        "created": wire.format_timestamp(row["created"]),
    }


def _select(
    connection: Connection,
    subject: conditions.Subject,
    query: Query,
    default: str,
    now: int,
) -> tuple[int, list[Row]]:
    condition, values = conditions.where(subject, query.filters, "", now)
    order = conditions.order(subject, query, default)
    limit, limit_values = conditions.page(query)
    total = connection.execute(
        f"SELECT count(*) FROM {subject.table} WHERE {condition}", values
    ).fetchone()[0]
    rows = connection.execute(
        f"SELECT {subject.table}.* FROM {subject.table} {order.joins} WHERE {condition} "
        f"ORDER BY {order.by} {limit}",
        [*order.values, *values, *limit_values],
    ).fetchall()
    return total, rows


def _write(connection: Connection, table: str, key: int, columns: dict[str, Any]) -> None:
    connection.execute(
        f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} WHERE key = ?",
        [*columns.values(), key],
    )
