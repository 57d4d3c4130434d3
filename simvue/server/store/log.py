"""Log: SQLite's write-ahead log, emptied into the database beside the writer.

A checkpoint of 64 MiB on the writer would stall one commit for 60-100 ms (measured), so a
second thread does it; only what that never quite reaches, while others write, is left to the
writer.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

CHECKPOINT_AT: Final = 32 << 20
"""Bytes written since the last checkpoint that start the next one (chosen: half of what was
measured to stall)."""

LOG_MAX: Final = 256 << 20
"""Bytes written since the writer itself last finished a checkpoint at which it does so again:
SQLite then begins the log anew. While others write, the second thread never quite reaches the
log's end, or reaches it and a commit has begun meanwhile."""
# A small write changes a few pages; it counts as four.
_WRITE_COST: Final = 4 * 16_384


class Log:
    """The log of the database that *connect* opens."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._written = 0
        self._logged = 0
        self._due = threading.Event()
        # SQLite refuses a checkpoint beside another.
        self._checkpointing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="simvue-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, connection: sqlite3.Connection, writes: int, size: int) -> None:
        """Note what the writer has just committed on *connection*."""
        size += writes * _WRITE_COST
        self._written += size
        self._logged += size
        if self._logged >= LOG_MAX:
            # The other thread has done nearly all of it, or is at it: where a disk syncs more
            # slowly than rows come, waiting for it here is what bounds the log.
            with self._checkpointing:
                self._due.clear()  # or the other's next would keep SQLite from beginning anew
                checkpoint(connection)
            # With a reader in its way the next try is as far again, not at each commit.
            self._written = self._logged = 0
        elif self._written >= CHECKPOINT_AT:
            self._written = 0
            self._due.set()

    def close(self) -> None:
        """End the thread; what is in the log stays there."""
        self._closed = True
        self._due.set()
        self._thread.join()

    def _serve(self) -> None:
        with closing(self._connect()) as connection:
            while True:
                self._due.wait()
                if self._closed:
                    return
                with self._checkpointing:
                    if self._due.is_set():
                        self._due.clear()
                        checkpoint(connection)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move what no reader needs from the log into the database."""
    # Otherwise the log stays as it is and the next checkpoint tries again; a disk that is full
    # for good fails the writes, whose callers are told.
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
