"""Folding: what is due to be folded, and one step of it after the other.

A step is a slice (fold.py) or a parent (parents.py).  Whoever does it holds a lease, which is
renewed in the transaction of each step, so of several servers on one store one folds.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from simvue import wire
from simvue.exception import StoreError

from . import fold, parents
from .connection import Connection
from .fold import Due
from .leases import Lease

BODIES: Final = 256
"""Bodies that are due however small they are: reading them takes 36 microseconds each."""

IDLE_S: Final = 120.0
"""A writer that sent nothing for so long may not come back for long: what it sent is folded."""

LATE_S: Final = 120.0
"""A body has its key before it is committed, and where many write, others with higher keys may be
seen first: looked back is so far, twice as long as a database lets a writer sleep."""

# Less than this is as quick to read as it lies, and smaller: a chunk has a head (measured).
_SMALL_ROWS: Final = 1024
_SMALL_BODIES: Final = 8


@dataclass
class _Waiting:
    """Bodies of one shape and writer that nobody has folded yet."""

    bodies: int = 0
    rows: int = 0
    since: float = 0.0
    """When the last of them was found."""
    full: int = 0
    """Rows of a full fold; 0 until it is asked for."""


class Backlog:
    """What waits to be folded: remembered, so that a look reads only what came since the last."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Due, _Waiting] = defaultdict(_Waiting)
        self._folded: set[Due] = set()
        self._newest = 0
        self._settled = 0
        """Of all bodies up to this key none is still to come."""
        self._looked_back = (-math.inf, 0)
        """When, and which key was the newest then."""

    def due(self, connection: Connection, now: float) -> list[Due]:
        """Return what is to be folded, once for each step that it takes."""
        for row in connection.execute(
            "SELECT shape, writer, count(*) AS bodies, sum(rows) AS rows, max(key) AS newest "
            "FROM body WHERE key > ? GROUP BY shape, writer",
            (self._newest,),
        ).fetchall():
            waiting = self._waiting[Due(row["shape"], row["writer"])]
            waiting.bodies += row["bodies"]
            waiting.rows += row["rows"]
            waiting.since = now
            self._newest = max(self._newest, row["newest"])
        if now - self._looked_back[0] >= LATE_S:
            self._look_back(connection, now)
        for due in self._folded:
            # Counted anew: a step takes what lies first, which may have come after the count.
            row = connection.execute(
                "SELECT count(*) AS bodies, sum(rows) AS rows FROM body "
                "WHERE shape = ? AND writer = ?",
                due,
            ).fetchone()
            if row["bodies"]:
                waiting = self._waiting[due]
                waiting.bodies, waiting.rows = row["bodies"], row["rows"]
                waiting.since = waiting.since or now
            else:
                self.forget(due)
        self._folded.clear()
        found: list[Due] = []
        for due, waiting in list(self._waiting.items()):
            rests = now - waiting.since >= IDLE_S
            if waiting.rows >= _SMALL_ROWS or waiting.bodies >= _SMALL_BODIES:
                found += [due] * self._steps(connection, due, waiting, rests)
            elif rests:
                self.forget(due)
        return found

    def _look_back(self, connection: Connection, now: float) -> None:
        """Have those counted anew who have bodies that were not seen when they came."""
        for row in connection.execute(
            "SELECT shape, writer, count(*) AS bodies FROM body WHERE key > ? "
            "GROUP BY shape, writer",
            (self._settled,),
        ):
            due = Due(row["shape"], row["writer"])
            # One that waits is counted anew when it is folded.
            if due not in self._waiting or self._waiting[due].bodies < row["bodies"]:
                self._folded.add(due)
        self._settled = self._looked_back[1]
        self._looked_back = (now, self._newest)

    def _steps(self, connection: Connection, due: Due, waiting: _Waiting, rests: bool) -> int:
        run = connection.execute(
            "SELECT status FROM shape JOIN run ON run.key = run WHERE shape.key = ?", (due.shape,)
        ).fetchone()
        if run is None:
            self.forget(due)
            return 0
        if not waiting.full:
            waiting.full = fold.full_rows(fold.width(connection, due.shape))
        steps = max(waiting.rows // waiting.full, waiting.bodies // BODIES)
        return steps or int(rests or run["status"] in wire.TERMINAL)

    def folded(self, due: Due) -> None:
        """Note that some of what waited does so no longer."""
        self._folded.add(due)

    def forget(self, due: Due) -> None:
        """Leave what waits as it is, until more comes."""
        self._waiting.pop(due, None)


class Folding:
    """Folds a store in steps, each of which keeps nobody waiting; *clock* tells seconds.

    *reading* lends a connection that sees one moment, *write* runs work in a transaction and
    is told about how many bytes it writes.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Connection]],
        write: Callable[[Callable[[Connection], bool], int], bool],
        clock: Callable[[], float],
    ) -> None:
        self._reading = reading
        self._clock = clock
        self._lease = Lease("fold", write, clock)
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._due: list[Due] = []
        self._orphans: list[Due] | None = None

    def step(self) -> bool:
        """Fold a slice of what is due; False if nothing is, or if another process folds.

        Raises StoreError, once for each writer of whom something cannot be read: that stays as
        it is until more comes, and the next step goes on with others.
        """
        with self._lock:
            with self._reading() as connection:
                if self._orphans is None:
                    # Those that a death left behind.
                    self._orphans = parents.orphans(connection)
                if not self._due:
                    self._due = self._backlog.due(connection, self._clock())
            if not (self._orphans or self._due):
                return False
            # Before the work, so that two who have a lease in turn do not work in vain.
            if not self._lease.held():
                return False
            return self._raise(self._orphans) if self._orphans else self._fold(self._orphans)

    def _fold(self, raised: list[Due]) -> bool:
        due = self._due.pop(0)
        try:
            with self._reading() as connection:
                found = fold.take(connection, due)
        except StoreError:
            self._backlog.forget(due)
            raise
        if found is None:
            self._backlog.forget(due)
            return True
        folded = fold.encode(found)
        if not self._lease.commit(
            lambda connection: fold.replace(connection, found, folded),
            sum(one.size for one in folded),
        ):
            return False
        self._backlog.folded(due)
        raised.append(due)
        return True

    def _raise(self, waiting: list[Due]) -> bool:
        due = waiting.pop(0)
        with self._reading() as connection:
            found = parents.siblings(connection, due)
        if found is None:
            return True
        # Their parent may have siblings now.
        waiting.append(due)
        return self._lease.commit(
            lambda connection: parents.adopt(connection, due, found), found.parent.size
        )
