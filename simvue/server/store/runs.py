"""Runs in SQL: registered, read, changed, lost and deleted.

Functions work on an open transaction of the engine that calls them; those that write run
on its writer.  Moments are microseconds since the epoch, by the store's clock.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from simvue import wire
from simvue.names import random_name

from . import IdTaken, NoSuchRun, Object, Query, RunGone, alerts, conditions, folders, processes
from .attributes import attributes, merged
from .connection import Connection, Row

_JSON_COLUMNS: Final = ("metadata", "system", "visibility", "notifications")
_DEFAULTS: Final[Object] = {
    "metadata": {},
    "system": {},
    "visibility": {"users": [], "tenant": False, "public": False},
    "notifications": {"state": "none"},
}
# What a process that joins a run brings with it; the rest is as the first one said.
_JOINING: Final = ("metadata", "process")
# Members whose null means "none"; of all others null means "leave it alone".
_NULLABLE: Final = ("description", "heartbeat_timeout", "ttl")
# Expired runs deleted in one transaction: nobody's rows wait for a long list of them (chosen).
_EXPIRE_MAX: Final = 16
_FROM: Final = "run JOIN folder ON folder.key = run.folder"
_SELECT: Final = f"SELECT run.*, folder.path FROM {_FROM}"


def find(connection: Connection, run: str) -> int:
    """Return the key of the run with id *run*; raises NoSuchRun, RunGone."""
    row = connection.execute("SELECT key FROM run WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise _absent(connection, run)
    key: int = row["key"]
    return key


def _absent(connection: Connection, run: str) -> NoSuchRun | RunGone:
    gone = connection.execute("SELECT 1 FROM tombstone WHERE id = ?", (run,)).fetchone()
    return RunGone(run) if gone else NoSuchRun(run)


def touch(connection: Connection, run: str, now: int) -> tuple[int, bool]:
    """Note a sign of life: return the run's key and abort flag; raises NoSuchRun, RunGone.

    A ``lost`` run is ``running`` again; no other state is changed.
    """
    # First, because it keeps every other node from the run until this transaction ends: what is
    # read of the run, its writers and their rows from here on stays so.
    connection.execute("UPDATE run SET seen = ? WHERE id = ?", (now / 1e6, run))
    row = connection.execute("SELECT key, status, abort FROM run WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise _absent(connection, run)
    if row["status"] == "lost":
        connection.execute(
            "UPDATE run SET status = 'running', modified = ? WHERE key = ?", (now, row["key"])
        )
    return row["key"], row["abort"] is not None


def create(connection: Connection, run: Object, owner: str, now: int) -> tuple[str, bool]:
    """Create *run*; see Store.create_run."""
    digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).digest()
    run_id = run.get("id")
    if run_id is None:
        run_id = wire.new_id()
    else:
        if not wire.is_id(run_id):
            raise ValueError(f"{run_id!r} is not an id of 22 letters and digits")
        known = connection.execute(
            "SELECT owner, digest FROM run WHERE id = ?", (run_id,)
        ).fetchone()
        if known is not None:
            if known["owner"] != owner:
                raise IdTaken(run_id)
            if run.get("process"):
                # One of several that share the run: what it has to add is added.
                joining = {name: run[name] for name in _JOINING if run.get(name)}
                update(connection, run_id, joining, now)
            elif known["digest"] != digest:
                raise IdTaken(run_id)
            return run_id, False
        if connection.execute("SELECT 1 FROM tombstone WHERE id = ?", (run_id,)).fetchone():
            raise RunGone(run_id)
    columns = {
        "id": run_id,
        "owner": owner,
        "digest": digest,
        "name": run.get("name") or random_name(),
        "folder": folders.ensure(connection, run["folder"], now),
        "status": run.get("status") or "created",
        "created": now,
        "modified": now,
        "seen": now / 1e6,
        **{name: run.get(name) for name in _NULLABLE},
        **{name: _moment(run.get(name)) for name in ("started", "endtime")},
    }
    for name in _JSON_COLUMNS:
        value = run.get(name)
        columns[name] = json.dumps(_DEFAULTS[name] if value is None else value)
    _stamp(columns, columns, now)
    key = connection.insert(
        f"INSERT INTO run ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        list(columns.values()),
    )
    folders.set_tags(connection, "run", key, run.get("tags") or (), now)
    alerts.attach(connection, key, run.get("alerts") or ())
    _set_attributes(connection, key, run.get("metadata") or {}, run.get("system") or {})
    if run.get("process"):
        processes.enter(connection, key, run["process"], lost=False)
    return run_id, True


def update(connection: Connection, run: str, changes: Object, now: int) -> None:
    """Apply *changes*; see Store.update_run."""
    old = connection.execute("SELECT * FROM run WHERE id = ?", (run,)).fetchone()
    if old is None:
        raise _absent(connection, run)
    if changes.get("process"):
        status = processes.enter(
            connection, old["key"], changes["process"], lost=old["status"] == "lost"
        )
        changes = {**changes, "status": status}
    columns: dict[str, Any] = {"modified": now, "seen": now / 1e6}
    for name in _NULLABLE:
        if name in changes:
            columns[name] = changes[name]
    for name in ("name", "status", "starred"):
        if changes.get(name) is not None:
            columns[name] = changes[name]
    for name in ("started", "endtime"):
        if changes.get(name) is not None:
            columns[name] = _moment(changes[name])
    for name in _JSON_COLUMNS:
        if changes.get(name) is not None:
            value = changes[name]
            if name == "metadata":
                value = merged(json.loads(old["metadata"]), value)
            columns[name] = json.dumps(value)
    if changes.get("folder") is not None:
        columns["folder"] = folders.ensure(connection, changes["folder"], now)
    if changes.get("status") == "running":
        columns.setdefault("endtime", None)
        columns["abort"] = None
    _stamp(columns, {**dict(old), **columns}, now)
    connection.execute(
        f"UPDATE run SET {', '.join(f'{name} = ?' for name in columns)} WHERE key = ?",
        [*columns.values(), old["key"]],
    )
    if changes.get("tags") is not None:
        folders.set_tags(connection, "run", old["key"], changes["tags"], now)
    if changes.get("alerts") is not None:
        alerts.attach(connection, old["key"], changes["alerts"])
    if "metadata" in columns or "system" in columns:
        _set_attributes(
            connection,
            old["key"],
            json.loads(columns.get("metadata", old["metadata"])),
            json.loads(columns.get("system", old["system"])),
        )


def _stamp(columns: dict[str, Any], whole: dict[str, Any], now: int) -> None:
    """Add to *columns* the moments that the state of the *whole* run needs and lacks."""
    if whole["status"] == "running" and whole["started"] is None:
        columns["started"] = now
    if whole["status"] in wire.TERMINAL and whole["endtime"] is None:
        columns["endtime"] = now


def _set_attributes(connection: Connection, key: int, metadata: Object, system: Object) -> None:
    connection.execute("DELETE FROM attr WHERE run = ?", (key,))
    found = [*attributes("metadata", metadata), *attributes("system", system)]
    connection.executemany(
        "INSERT INTO attr (run, name, num, txt) VALUES (?, ?, ?, ?)",
        [(key, *attribute) for attribute in found],
    )


def abort(connection: Connection, run: str, reason: str) -> None:
    """Raise the abort flag; raises NoSuchRun, RunGone."""
    key = find(connection, run)
    connection.execute("UPDATE run SET abort = ? WHERE key = ?", (reason, key))


def lose(connection: Connection, now: float, opened: float) -> list[str]:
    """Set silent runs to ``lost``; *opened* is the earliest moment that anybody was heard."""
    rows = connection.execute(
        "SELECT key, id FROM run WHERE status = 'running' "
        "AND heartbeat_timeout IS NOT NULL AND max(seen, ?) + heartbeat_timeout < ?",
        (opened, now),
    ).fetchall()
    connection.executemany(
        "UPDATE run SET status = 'lost', modified = ? WHERE key = ?",
        [(int(now * 1e6), row["key"]) for row in rows],
    )
    return [row["id"] for row in rows]


def expire(connection: Connection, now: float) -> list[str]:
    """Delete some of the runs that outlived their ttl; return their ids, none if none is left."""
    rows = connection.execute(
        "SELECT id FROM run WHERE ttl IS NOT NULL AND status != 'running' "
        "AND max(seen, modified / 1e6) + ttl < ? LIMIT ?",
        (now, _EXPIRE_MAX),
    ).fetchall()
    for row in rows:
        delete(connection, row["id"], int(now * 1e6))
    return [row["id"] for row in rows]


def delete(connection: Connection, run: str, now: int) -> None:
    """Delete the run and leave a tombstone; its bodies are left to ``rows.sweep``."""
    key = find(connection, run)
    connection.execute("INSERT INTO tombstone VALUES (?, ?)", (run, now))
    connection.execute("DELETE FROM run WHERE key = ?", (key,))


# ---- Reading ----------------------------------------------------------------------


def get(connection: Connection, run: str, now: int) -> Object:
    """Return the run object; raises NoSuchRun, RunGone."""
    row = connection.execute(f"{_SELECT} WHERE run.id = ?", (run,)).fetchone()
    if row is None:
        raise _absent(connection, run)
    return _objects(connection, [row], now)[0]


def select(connection: Connection, query: Query, owner: str, now: int) -> tuple[int, list[Object]]:
    """Return (total, the page's run objects), newest first unless *query* sorts."""
    condition, values = conditions.where(conditions.RUN, query.filters, owner, now)
    if query.runs:
        chosen, ids = conditions.among("run.id", query.runs)
        condition, values = f"{condition} AND {chosen}", [*values, *ids]
    order = conditions.order(conditions.RUN, query, "run.created DESC, run.key DESC")
    limit, limit_values = conditions.page(query)
    total = connection.execute(f"SELECT count(*) FROM {_FROM} WHERE {condition}", values)
    # Keys first: what is sorted is then a number a run, and not all that it has.
    keys = [
        key
        for (key,) in connection.execute(
            f"SELECT run.key FROM {_FROM} {order.joins} WHERE {condition} "
            f"ORDER BY {order.by} {limit}",
            [*order.values, *values, *limit_values],
        )
    ]
    return total.fetchone()[0], [
        one
        for some in conditions.slices(keys)
        for one in _page(connection, some, now, query.unwanted)
    ]


def _page(
    connection: Connection, keys: Sequence[int], now: int, unwanted: Collection[str]
) -> list[Object]:
    """Return the run objects with *keys*, in their order."""
    rows = connection.execute(f"{_SELECT} WHERE run.key IN ({conditions.marks(keys)})", keys)
    by_key = {row["key"]: row for row in rows.fetchall()}
    return _objects(connection, [by_key[key] for key in keys], now, unwanted)


def _objects(
    connection: Connection, rows: Sequence[Row], now: int, unwanted: Collection[str] = ()
) -> list[Object]:
    """Return the run objects of *rows*; asks as often for many as for one."""
    keys = [row["key"] for row in rows]
    tags = folders.tags_of(connection, "run", keys)
    attached = alerts.of_runs(connection, keys)
    summaries = {} if "metrics" in unwanted else _summaries(connection, keys)
    dropped, ranks = _of_writers(connection, keys)
    return [
        {
            "id": row["id"],
            "name": row["name"],
            "folder": row["path"],
            "status": row["status"],
            "description": row["description"],
            "created": wire.format_timestamp(row["created"]),
            "started": _text(row["started"]),
            "endtime": _text(row["endtime"]),
            "modified": wire.format_timestamp(row["modified"]),
            "runtime": _runtime(row, now),
            "user": row["owner"],
            "ttl": row["ttl"],
            "heartbeat_timeout": row["heartbeat_timeout"],
            "starred": bool(row["starred"]),
            "abort": row["abort"] is not None,
            "tags": tags[row["key"]],
            "alerts": attached[row["key"]],
            **{name: {} if name in unwanted else json.loads(row[name]) for name in _JSON_COLUMNS},
            "metrics": summaries.get(row["key"], {}),
            "dropped": dropped[row["key"]],
            "ranks": sorted(ranks[row["key"]]),
        }
        for row in rows
    ]


def _of_writers(
    connection: Connection, keys: Sequence[int]
) -> tuple[Mapping[int, int], Mapping[int, set[int]]]:
    """Return how many rows the writers of each run dropped, and which ranks they are."""
    dropped: defaultdict[int, int] = defaultdict(int)
    ranks: defaultdict[int, set[int]] = defaultdict(set)
    for row in connection.execute(
        f"SELECT run, rank, dropped FROM writer WHERE run IN ({conditions.marks(keys)})", keys
    ):
        dropped[row["run"]] += row["dropped"]
        if row["rank"] is not None:
            ranks[row["run"]].add(row["rank"])
    return dropped, ranks


def _summaries(connection: Connection, keys: Sequence[int]) -> Mapping[int, Object]:
    """Return the summaries of the metrics of each run, by name."""
    found: defaultdict[int, Object] = defaultdict(dict)
    for row in connection.execute(
        f"SELECT * FROM metric WHERE run IN ({conditions.marks(keys)}) ORDER BY run, name", keys
    ):
        found[row["run"]][row["name"]] = {
            "count": row["count"],
            "min": row["min"],
            "max": row["max"],
            "average": row["total"] / row["finite"] if row["finite"] else None,
            "last": _number(row["last"]),
            "step": row["step"],
            "time": row["time"],
            "timestamp": wire.format_timestamp(row["timestamp"]),
        }
    return found


def _number(value: Any) -> int | float:
    """Undo rows.storable: what SQL has no number for was kept as a text."""
    if isinstance(value, str):
        return float("nan") if value == "NaN" else int(value)
    number: int | float = value
    return number


def _runtime(row: Row, now: int) -> str | None:
    if row["started"] is None:
        return None
    end = row["endtime"]
    if end is None:
        end = now if row["status"] == "running" else int(row["seen"] * 1e6)
    seconds, fraction = divmod(max(0, end - row["started"]), 1_000_000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:06d}"


def _moment(text: str | None) -> int | None:
    return None if text is None else wire.parse_timestamp(text)


def _text(moment: int | None) -> str | None:
    return None if moment is None else wire.format_timestamp(moment)
