"""Leases: work that one process does for all that share a store.

Whoever holds a lease renews it in each transaction of its work: one that slept past its end
finds in its own transaction that another has it, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simvue import wire

from .connection import Connection

LEASE_S: Final = 30.0
"""A step of any work takes a tenth of a second, or some seconds where blobs are slow; who is
silent for so long is dead, or as good as (chosen)."""


class Lease:
    """The lease *name*, for one process; *write* runs work in a transaction, *clock* tells seconds.

    *write* is told about how many bytes the work writes.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Callable[[Connection], bool], int], bool],
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._write = write
        self._clock = clock
        self._holder = wire.new_id()
        self._until = 0.0

    def held(self) -> bool:
        """Tell whether it is ours for a while; takes it if nobody has it."""
        return self._clock() <= self._until - LEASE_S / 2 or self.commit(lambda _: None)

    def commit(self, work: Callable[[Connection], None], size: int = 0) -> bool:
        """Do *work* in a transaction in which the lease is ours; False if it is not."""

        def leased(connection: Connection) -> bool:
            now = self._clock()
            if not _hold(connection, self._name, self._holder, now, now + LEASE_S):
                return False
            self._until = now + LEASE_S
            work(connection)
            return True

        return self._write(leased, size)


def _hold(connection: Connection, name: str, holder: str, now: float, until: float) -> bool:
    """Take or renew the lease *name* for *holder*; False if another holds it *now*."""
    return (
        connection.execute(
            "INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET holder = excluded.holder, until = excluded.until "
            "WHERE lease.holder = excluded.holder OR lease.until < ?",
            (name, holder, until, now),
        ).rowcount
        > 0
    )


def release_all(connection: Connection) -> None:
    """End every lease: for an engine that knows that nobody else is there."""
    connection.execute("DELETE FROM lease")
