"""Group commit: many threads ask for writes, one thread writes, one fsync serves them all.

::

    thread  write(work) ──┐                    ┌── savepoint, work, release ──┐
    thread  write(work) ──┼─> queue ─> begin ──┼── savepoint, work, release ──┼─> commit ─> results
    thread  write(work) ──┘                    └── savepoint, work, rollback ─┘

What arrives while a commit is in the disk's hands makes up the next one.  A write that
fails takes back its own savepoint and nobody else's.  The write-ahead log is emptied by a
second thread: a checkpoint of 64 MiB on the writer would stall one commit for 60-100 ms
(measured).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from simvue.exception import StoreError

from . import Busy

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

WAITING_MAX: Final = 256 << 20
"""Bytes of decoded bodies that may wait for their commit: four of the largest bodies,
or a second of the fastest disk; more would only be latency (chosen)."""

# Writes in one transaction: enough to share an fsync, few enough that the first of them
# does not wait for long (chosen).
_BATCH_MAX = 256
CHECKPOINT_AT: Final = 32 << 20
"""Bytes written since the last checkpoint that start the next one (chosen: half of what was
measured to stall)."""

LOG_MAX: Final = 256 << 20
"""Bytes of log at which the writer itself finishes a checkpoint, so that SQLite can begin the
log anew; while others write, the second thread never quite reaches its end."""
# A small write changes a few pages; it counts as four.
_WRITE_COST = 4 * 16_384


class _Ticket(NamedTuple):
    work: Work[Any]
    size: int
    future: Future[Any]


class Commits:
    """The one writer of a database; *connect* opens a connection to it, used by any thread."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connect()
        self._connect = connect
        self._queue: SimpleQueue[_Ticket | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._logged = 0
        self._checkpoint_due = threading.Event()
        self._finish_log = False
        self._threads = [
            threading.Thread(target=self._serve, name="simvue-commits", daemon=True),
            threading.Thread(target=self._checkpoint, name="simvue-checkpoints", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def write(self, work: Work[T], size: int = 0) -> T:
        """Run ``work(connection)`` inside a transaction, and return its result once committed.

        Blocks.  *size* is about how many bytes it will write.  An exception of *work* takes
        back what it wrote and is raised here; StoreError means the store itself failed.
        *work* runs once, on the writer's thread: whatever can be done outside should be.
        """
        ticket = _Ticket(work, size, Future())
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed")
            self._queue.put(ticket)
        result: T = ticket.future.result()
        return result

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Take room for *size* bytes that wait; raise Busy if there is none.

        A body larger than all the room is let in when nothing else waits.
        """
        with self._lock:
            if self._waiting and self._waiting + size > WAITING_MAX:
                raise Busy(f"{self._waiting >> 20} MiB of bodies wait to be written")
            self._waiting += size
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= size

    def close(self) -> None:
        """Finish what is queued and close the connection; write refuses from here on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._threads[0].join()
        self._checkpoint_due.set()
        self._threads[1].join()
        self._connection.close()

    # ---- The writer's thread ------------------------------------------------------

    def _serve(self) -> None:
        while True:
            batch, last = self._take()
            if batch:
                self._commit(batch)
            if last:
                return

    def _take(self) -> tuple[list[_Ticket], bool]:
        """Wait for a write; return it with all that wait behind it, and whether it is the end."""
        batch: list[_Ticket] = []
        ticket = self._queue.get()
        while ticket is not None:
            batch.append(ticket)
            if len(batch) == _BATCH_MAX:
                return batch, False
            try:
                ticket = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Ticket]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(ticket.work) for ticket in batch]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for ticket in batch:
                ticket.future.set_exception(_failure(error))
            return
        for ticket, (result, refusal) in zip(batch, outcomes, strict=True):
            if refusal is None:
                ticket.future.set_result(result)
            else:
                ticket.future.set_exception(refusal)
        self._logged += sum(ticket.size + _WRITE_COST for ticket in batch)
        if self._finish_log:
            self._finish_log = False
            # The other thread has done nearly all of it: this is short.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        elif self._logged >= CHECKPOINT_AT:
            self._logged = 0
            self._checkpoint_due.set()

    def _attempt(self, work: Work[Any]) -> tuple[Any, Exception | None]:
        connection = self._connection
        connection.execute("SAVEPOINT write")
        try:
            result = work(connection)
        except Exception as error:
            # Whatever it is, it is raised in the caller's thread.
            if not connection.in_transaction:
                # SQLite itself took everything back (a full disk does that): all have failed.
                raise sqlite3.OperationalError(str(error)) from error
            connection.execute("ROLLBACK TO write")
            connection.execute("RELEASE write")
            return None, _failure(error) if isinstance(error, sqlite3.Error) else error
        connection.execute("RELEASE write")
        return result, None

    # ---- The thread of checkpoints --------------------------------------------------

    def _checkpoint(self) -> None:
        with closing(self._connect()) as connection:
            page_size = connection.execute("PRAGMA page_size").fetchone()[0]
            while True:
                self._checkpoint_due.wait()
                self._checkpoint_due.clear()
                if self._closed:
                    return
                try:
                    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                except sqlite3.Error:
                    # The log stays as it is and the next checkpoint tries again; a disk that
                    # is full for good fails the writes, whose callers are told.
                    continue
                if pages * page_size > LOG_MAX:
                    self._finish_log = True


def _failure(error: sqlite3.Error) -> StoreError:
    failure = StoreError(f"the store cannot be written: {error}")
    failure.__cause__ = error
    return failure
