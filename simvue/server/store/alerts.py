"""Alerts in SQL: what is watched, on which runs, and how it stands there.

``run_alert`` says both which alerts are attached to a run, in which order, and their
status on it.  A user may set a status where the alert is not attached: it is remembered,
and raises no abort.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from simvue import wire

from . import (
    AlertStatus,
    IdTaken,
    NoSuchAlert,
    Object,
    Query,
    Watched,
    buckets,
    conditions,
    parts,
)
from .connection import Connection, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MEMBERS: Final = (
    "name",
    "description",
    "source",
    "definition",
    "notification",
    "enabled",
    "abort",
    "auto",
)

# ---- Alerts ---------------------------------------------------------------------------


def create(
    connection: Connection, alert: Object, owner: str, deduplicate: bool, now: int
) -> tuple[str, bool]:
    """Create *alert*; see Store.create_alert."""
    digest = hashlib.sha256(json.dumps(alert, sort_keys=True).encode()).digest()
    alert_id = alert.get("id")
    known = connection.execute(
        "SELECT owner, digest FROM alert WHERE id = ?", (alert_id,)
    ).fetchone()
    if known is not None and (known["owner"], known["digest"]) == (owner, digest):
        return str(alert_id), False
    columns = _columns(alert)
    if deduplicate:
        same = " AND ".join(
            f"{name} IS NULL" if columns[name] is None else f"{name} = ?" for name in _MEMBERS
        )
        values = [columns[name] for name in _MEMBERS if columns[name] is not None]
        twin = connection.execute(
            f"SELECT id FROM alert WHERE {same} ORDER BY key", values
        ).fetchone()
        if twin is not None:
            return twin["id"], False
    if known is not None:
        raise IdTaken(alert_id)
    columns |= {"id": alert_id or wire.new_id(), "owner": owner, "digest": digest, "created": now}
    connection.execute(
        f"INSERT INTO alert ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        list(columns.values()),
    )
    return columns["id"], True


def _columns(alert: Object) -> Object:
    """Return the columns behind those members of the wire that *alert* has."""
    columns: Object = {name: alert[name] for name in _MEMBERS if name in alert}
    if "alert" in alert:
        definition = alert["alert"]
        columns["definition"] = (
            None if definition is None else json.dumps(definition, sort_keys=True)
        )
    return columns


def get(connection: Connection, alert: str) -> Object | None:
    """Return the alert object with id *alert*."""
    row = connection.execute("SELECT * FROM alert WHERE id = ?", (alert,)).fetchone()
    return None if row is None else _alert(row)


def select(connection: Connection, query: Query) -> tuple[int, list[Object]]:
    """Return (total, the page's alert objects), oldest first unless *query* sorts."""
    order = conditions.order(conditions.ALERT, query, "alert.key")
    limit, limit_values = conditions.page(query)
    total = connection.execute("SELECT count(*) FROM alert").fetchone()
    rows = connection.execute(f"SELECT * FROM alert ORDER BY {order.by} {limit}", limit_values)
    return total[0], [_alert(row) for row in rows]


def update(connection: Connection, alert: str, changes: Object) -> bool:
    """Apply *changes*; see Store.update_alert."""
    old = connection.execute("SELECT * FROM alert WHERE id = ?", (alert,)).fetchone()
    if old is None:
        return False
    columns = _columns(changes)
    if columns:
        connection.execute(
            f"UPDATE alert SET {', '.join(f'{name} = ?' for name in columns)} WHERE key = ?",
            [*columns.values(), old["key"]],
        )
    if columns.get("definition", old["definition"]) != old["definition"]:
        # What was found by another rule says nothing about this one.
        connection.execute("UPDATE run_alert SET status = NULL WHERE alert = ?", (old["key"],))
    return True


def delete(connection: Connection, alert: str) -> bool:
    """Delete the alert, also from all runs; False if there is none."""
    return connection.execute("DELETE FROM alert WHERE id = ?", (alert,)).rowcount > 0


def _alert(row: Row) -> Object:
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "source": row["source"],
        "alert": None if row["definition"] is None else json.loads(row["definition"]),
        "notification": row["notification"],
        "enabled": bool(row["enabled"]),
        "abort": bool(row["abort"]),
        "auto": bool(row["auto"]),
        # Official clients want both and can set neither.
        "delay": 0,
        "run_tags": [],
        "created": wire.format_timestamp(row["created"]),
    }


# ---- Alerts of runs ---------------------------------------------------------------------


def attach(connection: Connection, run: int, alerts: Iterable[str]) -> None:
    """Attach *alerts*, in this order, to the run with key *run*, and no others.

    Those that were attached keep their status.  Raises NoSuchAlert.
    """
    keys: dict[int, None] = {}
    for alert in alerts:
        row = connection.execute("SELECT key FROM alert WHERE id = ?", (alert,)).fetchone()
        if row is None:
            raise NoSuchAlert(alert)
        keys[row["key"]] = None
    old = connection.execute(
        "SELECT alert FROM run_alert WHERE run = ? AND place IS NOT NULL", (run,)
    ).fetchall()
    connection.executemany(
        "DELETE FROM run_alert WHERE run = ? AND alert = ?",
        [(run, row["alert"]) for row in old if row["alert"] not in keys],
    )
    connection.executemany(
        "INSERT INTO run_alert (run, alert, place) VALUES (?, ?, ?) "
        "ON CONFLICT (run, alert) DO UPDATE SET place = excluded.place",
        [(run, key, place) for place, key in enumerate(keys)],
    )


def of_runs(connection: Connection, keys: Sequence[int]) -> Mapping[int, list[Object]]:
    """Return what is attached to the runs with *keys*: ``{"alert": object, "status": ...}``."""
    found: defaultdict[int, list[Object]] = defaultdict(list)
    for row in connection.execute(
        "SELECT alert.*, run, status FROM run_alert JOIN alert ON alert.key = alert "
        f"WHERE run IN ({conditions.marks(keys)}) AND place IS NOT NULL ORDER BY place",
        keys,
    ):
        found[row["run"]].append({"alert": _alert(row), "status": row["status"]})
    return found


def status(connection: Connection, alert: str, run: int) -> AlertStatus | None:
    """Return how *alert* stands on the run with key *run*; raises NoSuchAlert."""
    row = connection.execute(
        "SELECT status FROM run_alert WHERE run = ? AND alert = ?",
        (run, _find(connection, alert)["key"]),
    ).fetchone()
    found: AlertStatus | None = row and row["status"]
    return found


def set_status(connection: Connection, alert: str, run: int, status: AlertStatus) -> str | None:
    """Note how *alert* stands on the run with key *run*; see Store.set_alert_status."""
    found = _find(connection, alert)
    place = (run, found["key"])
    if found["source"] == "user":
        connection.execute(
            "INSERT INTO run_alert (run, alert, status) VALUES (?, ?, ?) "
            "ON CONFLICT (run, alert) DO UPDATE SET status = excluded.status",
            (*place, status),
        )
    else:
        # One that was detached since it was judged has no status any more.
        connection.execute(
            "UPDATE run_alert SET status = ? WHERE run = ? AND alert = ?", (status, *place)
        )
    attached = connection.execute(
        "SELECT 1 FROM run_alert WHERE run = ? AND alert = ? AND place IS NOT NULL", place
    ).fetchone()
    if not (attached and status == "critical" and found["abort"] and found["enabled"]):
        return None
    reason = f"alert {found['name']} is critical"
    connection.execute("UPDATE run SET abort = ? WHERE key = ?", (reason, run))
    return reason


def _find(connection: Connection, alert: str) -> Row:
    row: Row | None = connection.execute("SELECT * FROM alert WHERE id = ?", (alert,)).fetchone()
    if row is None:
        raise NoSuchAlert(alert)
    return row


# ---- What rules look at -------------------------------------------------------------------


def watched(connection: Connection, chosen: Collection[str] | None) -> list[Watched]:
    """Return what is to be judged on the runs *chosen*; see Store.watched_alerts."""
    condition, values = (
        ("run.status IN ('created', 'running', 'lost')", [])
        if chosen is None
        else conditions.among("run.id", chosen)
    )
    rows = connection.execute(
        "SELECT run.id AS run, alert.id, source, definition, run_alert.status "
        "FROM run JOIN run_alert ON run_alert.run = run.key JOIN alert ON alert.key = alert "
        f"WHERE {condition} AND place IS NOT NULL AND enabled AND source != 'user'",
        values,
    )
    return [
        Watched(
            row["run"],
            row["id"],
            row["source"],
            json.loads(row["definition"]),
            row["status"],
        )
        for row in rows
    ]


def recent(
    connection: Connection, run: int, names: Sequence[str], window: int
) -> dict[str, NDArray[np.float64]]:
    """Return the values of *names* in the *window* up to the newest; see Store.recent_values."""
    starts: dict[str, int] = {}
    for name in dict.fromkeys(names):
        row = connection.execute(
            "SELECT timestamp FROM metric WHERE run = ? AND name = ?", (run, name)
        ).fetchone()
        if row is not None:
            starts[name] = row["timestamp"] - window
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in starts}
    writers = connection.execute("SELECT key FROM writer WHERE run = ?", (run,)).fetchall()
    for shape in connection.execute(
        "SELECT key, names FROM shape WHERE run = ?", (run,)
    ).fetchall():
        places = {name: place for place, name in enumerate(json.loads(shape["names"]))}
        wanted = [name for name in starts if name in places]
        for writer in writers if wanted else ():
            for some in parts.newest_first(
                connection,
                shape["key"],
                writer["key"],
                [places[name] for name in wanted],
                min(starts[name] for name in wanted),
            ):
                for name, part in zip(wanted, some, strict=True):
                    inside = part.axes["timestamp"] > starts[name]
                    values = buckets.floats(part.values[inside], part.kinds[inside])
                    found[name].append(values)
    return {name: np.concatenate(values) for name, values in found.items() if values}


def find_event(connection: Connection, run: int, pattern: str, after: int) -> tuple[bool, int]:
    """Look for *pattern* in the events stored behind *after*; see Store.find_event."""
    newest, found = connection.execute(
        "SELECT max(key), max(instr(message, ?)) FROM event WHERE run = ? AND key > ?",
        (pattern, run, after),
    ).fetchone()
    return bool(found), after if newest is None else newest
