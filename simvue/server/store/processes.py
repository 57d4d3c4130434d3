"""Processes that share a run: it ends when all of them have, and fails as soon as one fails.

::

    attempt 1   rank 0 completed   rank 1 failed      rank 2 running     -> failed
    attempt 2   rank 0 completed   rank 1 completed   rank 2 completed   -> completed

An attempt begins anew when a rank is there a second time, in another process, or when
somebody comes after all have ended or the run was lost.  What is heard of an earlier attempt
from then on, out of a spool say, no longer counts.
"""

from __future__ import annotations

from typing import Final

from simvue.wire import TERMINAL

from . import Object
from .connection import Connection, Row

_WORST_FIRST: Final = ("failed", "terminated")
_ENDS: Final = TERMINAL | {"lost"}
"""What is not heard of any more.  One lost process does not end the run: its silence does."""


def enter(connection: Connection, run: int, process: Object, lost: bool) -> str | None:
    """Note the status of *process*: a mapping with id, launch, rank, size and status.

    Returns what the status of the run with key *run*, which is *lost* or not, becomes by it;
    None where it stays.
    """
    status = process["status"]
    known = connection.execute(
        "SELECT attempt, status FROM process WHERE run = ? AND id = ?", (run, process["id"])
    ).fetchone()
    attempt = _last_attempt(connection, run)
    if known is not None:
        if known["attempt"] < attempt or known["status"] in _ENDS:
            # A late word of an earlier attempt, or a registration that is said twice.
            return None
        connection.execute(
            "UPDATE process SET status = ? WHERE run = ? AND id = ?", (status, run, process["id"])
        )
        return _end(connection, run, attempt)
    begins = not attempt or lost or _begins_anew(connection, run, attempt, process)
    attempt += begins
    connection.execute(
        "INSERT INTO process (run, id, attempt, launch, rank, size, status) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            run,
            process["id"],
            attempt,
            process.get("launch") or "",
            process.get("rank"),
            process.get("size"),
            status,
        ),
    )
    return _end(connection, run, attempt) or ("running" if begins else None)


def of_run(connection: Connection, run: int) -> list[Object]:
    """Return the processes of the run with key *run*, by attempt and rank."""
    members = "attempt, launch, rank, size, status"
    rows = connection.execute(
        f"SELECT {members} FROM process WHERE run = ? ORDER BY attempt, rank, id", (run,)
    )
    return [dict(row) for row in rows]


def _last_attempt(connection: Connection, run: int) -> int:
    found: int = connection.execute(
        "SELECT coalesce(max(attempt), 0) FROM process WHERE run = ?", (run,)
    ).fetchone()[0]
    return found


def _begins_anew(connection: Connection, run: int, attempt: int, process: Object) -> bool:
    others = _of_attempt(connection, run, attempt)
    same = (process.get("launch") or "", process.get("rank"))
    if process.get("rank") is not None and any((o["launch"], o["rank"]) == same for o in others):
        return True
    return _is_whole(others) and all(other["status"] in _ENDS for other in others)


def _end(connection: Connection, run: int, attempt: int) -> str | None:
    """Return how the run has ended; None if it has not."""
    processes = _of_attempt(connection, run, attempt)
    statuses = {process["status"] for process in processes}
    for status in _WORST_FIRST:
        if status in statuses:
            return status
    return "completed" if statuses == {"completed"} and _is_whole(processes) else None


def _is_whole(processes: list[Row]) -> bool:
    """Whether all ranks of each launch are there, as far as their number is known."""
    launches: dict[str, list[Row]] = {}
    for process in processes:
        launches.setdefault(process["launch"], []).append(process)
    return all(len(ranks) >= (ranks[0]["size"] or 0) for ranks in launches.values())


def _of_attempt(connection: Connection, run: int, attempt: int) -> list[Row]:
    return connection.execute(
        "SELECT launch, rank, size, status FROM process WHERE run = ? AND attempt = ?",
        (run, attempt),
    ).fetchall()
