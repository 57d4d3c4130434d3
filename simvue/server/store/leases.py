"""Leases: work that one process does for all that share a store.

Whoever holds a lease renews it in each transaction of its work: one that slept past its end
finds in its own transaction that another has it, and changes nothing.
"""

from __future__ import annotations

import sqlite3


def hold(connection: sqlite3.Connection, name: str, holder: str, now: float, until: float) -> bool:
    """Take or renew the lease *name* for *holder*; False if another holds it *now*."""
    return (
        connection.execute(
            "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET holder = excluded.holder, until = excluded.until "
            "WHERE holder = excluded.holder OR until < ?",
            (name, holder, until, now),
        ).rowcount
        > 0
    )


def release_all(connection: sqlite3.Connection) -> None:
    """End every lease: for an engine that knows that nobody else is there."""
    connection.execute("DELETE FROM lease")
