"""Log: SQLite's write-ahead log, emptied into the database beside the writer.

A checkpoint of 64 MiB on the writer would stall one commit for 60-100 ms (measured), so a
second thread does it; only what that never quite reaches, while others write, is left to the
writer.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

CHECKPOINT_AT: Final = 32 << 20
"""Bytes written since the last checkpoint that start the next one (chosen: half of what was
measured to stall)."""

LOG_MAX: Final = 256 << 20
"""Bytes of log at which the writer itself finishes a checkpoint, so that SQLite can begin the
log anew; while others write, the second thread never quite reaches its end."""
# A small write changes a few pages; it counts as four.
_WRITE_COST: Final = 4 * 16_384


class Log:
    """The log of the database that *connect* opens."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._written = 0
        self._due = threading.Event()
        self._finish = False
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="simvue-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, connection: sqlite3.Connection, writes: int, size: int) -> None:
        """Note what the writer has just committed on *connection*."""
        self._written += size + writes * _WRITE_COST
        if self._finish:
            self._finish = False
            # The other thread has done nearly all of it: this is short.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
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
            page_size = connection.execute("PRAGMA page_size").fetchone()[0]
            while True:
                self._due.wait()
                self._due.clear()
                if self._closed:
                    return
                try:
                    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                except sqlite3.Error:
                    # The log stays as it is and the next checkpoint tries again; a disk that
                    # is full for good fails the writes, whose callers are told.
                    continue
                if pages * page_size > LOG_MAX:
                    self._finish = True
