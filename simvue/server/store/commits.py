"""Group commit: many threads ask for writes, one thread writes, one fsync serves them all.

::

    thread  write(work) ──┐                    ┌── savepoint, work, release ──┐
    thread  write(work) ──┼─> queue ─> begin ──┼── savepoint, work, release ──┼─> commit ─> results
    thread  write(work) ──┘                    └── savepoint, work, rollback ─┘

What arrives while a commit is in the disk's hands makes up the next one.  A write that
fails takes back its own savepoint and nobody else's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from simvue.exception import StoreError

from .. import meters
from .connection import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]

# Writes in one transaction: enough to share an fsync, few enough that the first of them
# does not wait for long (chosen).
_BATCH_MAX: Final = 256


class _Ticket(NamedTuple):
    work: Work[Any]
    size: int
    future: Future[Any]


class Commits:
    """One writer.  *transaction* lends a connection and commits what was done with it.

    It is told how many writes that are and about how many bytes, and takes all back where it is
    left by an exception; its own failures are of the kind *trouble*.
    """

    def __init__(
        self,
        transaction: Callable[[int, int], AbstractContextManager[Connection]],
        trouble: type[Exception],
    ) -> None:
        self._transaction = transaction
        self._trouble = trouble
        self._queue: SimpleQueue[_Ticket | None] = SimpleQueue()
        meters.WRITES_WAITING.set_function(self._queue.qsize)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="simvue-commits", daemon=True)
        self._thread.start()

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

    def close(self) -> None:
        """Finish what is queued; write refuses from here on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

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
        begun = time.perf_counter()
        try:
            with self._transaction(len(batch), sum(ticket.size for ticket in batch)) as connection:
                outcomes = [self._attempt(connection, ticket.work) for ticket in batch]
        except (self._trouble, StoreError) as error:
            for ticket in batch:
                ticket.future.set_exception(failure(error))
            return
        meters.COMMIT_SECONDS.observe(time.perf_counter() - begun)
        meters.WRITES.inc(len(batch))
        for ticket, (result, refusal) in zip(batch, outcomes, strict=True):
            if refusal is None:
                ticket.future.set_result(result)
            else:
                ticket.future.set_exception(refusal)

    def _attempt(self, connection: Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
        connection.execute("SAVEPOINT write")
        try:
            result = work(connection)
        except Exception as error:
            # Whatever it is, it is raised in the caller's thread.
            if not self._took_back(connection):
                raise failure(error) from error
            return None, failure(error) if isinstance(error, self._trouble) else error
        connection.execute("RELEASE write")
        return result, None

    def _took_back(self, connection: Connection) -> bool:
        """Take back the last write; False if all are gone: a full disk makes an engine do that."""
        try:
            connection.execute("ROLLBACK TO write")
            connection.execute("RELEASE write")
        except self._trouble:
            return False
        return True


def failure(error: Exception) -> StoreError:
    """Return *error* as the store's own."""
    if isinstance(error, StoreError):
        return error
    failed = StoreError(f"the store cannot be written: {error}")
    failed.__cause__ = error
    return failed
