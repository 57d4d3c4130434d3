"""SQLiteStore: the embedded engine, one directory owned by one process.

::

    DIR/lock         held by the kernel for the process that owns DIR
    DIR/simvue.db    the database; -wal and -shm beside it while it is open
    DIR/blobs        the bytes of artifacts (blobs.py)
    DIR/secret       what signs the links to them

Writes go through one thread (commits.py), reads through a pool of read-only connections,
each read in one snapshot.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

from simvue.exception import StoreError

from . import artifacts, leases, moved, packs, secret
from .blobs import Blobs, open_blobs
from .commits import Commits
from .connection import Connection
from .log import Log
from .sql import SCHEMA, SQLStore
from .upgrade import upgrade

T = TypeVar("T")

_PAGE_SIZE: Final = 16_384
# Room that the next bodies will need anyway is not given back: a quarter of the file, or as much
# as a minute of fast ingest (chosen).
_FREE_MIN: Final = 256 << 20
_FREE_PART: Final = 4
# Each of them may be filled from the end of the file: 4 MiB, as large as a body.
_RECLAIM_PAGES: Final = 256
# Another program may read the file (a backup, sqlite3 in a shell): wait for its locks.
_LOCK_WAIT_S: Final = 10.0


class SQLiteConnection(sqlite3.Connection):
    """sqlite3's connection, with what the SQL modules ask beyond it (connection.py).

    *blobs* are to be set by whoever opens it.
    """

    blobs: Blobs

    def insert(self, sql: str, parameters: Sequence[Any], /) -> int:
        """See Connection."""
        key = self.execute(sql, parameters).lastrowid
        assert key is not None
        return key

    def fetch(self, place: str, start: int, size: int) -> bytes:
        """See Connection."""
        return packs.read(self.blobs, place, start, size)


class SQLiteStore(SQLStore):
    """The store in *directory*, which is made if it lacks; *clock* tells seconds.

    What is too big for the database lies in *blobs*, by default in a folder beside it.
    """

    def __init__(
        self,
        directory: str,
        clock: Callable[[], float] = time.time,
        blobs: Blobs | None = None,
    ) -> None:
        self._directory = Path(directory).absolute()
        moved.refuse(self._directory)
        self._lock = _own(self._directory)
        self._idle: list[SQLiteConnection] = []
        self._idle_lock = Lock()
        self._closed = False
        self._blobs = blobs or open_blobs(str(self._directory / "blobs"))
        try:
            with _opening(self._directory):
                _prepare(self._directory)
                self._connection = self._connect()
            self._secret = secret.load(self._directory / "secret")
            self._log = Log(self._connect)
            self._commits = Commits(self._transaction, sqlite3.Error)
        except BaseException:
            _disown(self._directory, self._lock)
            raise
        super().__init__(self._blobs, clock)
        # Whoever wrote, or held a lease, is dead: the directory is ours.
        self._write(lambda connection: artifacts.recover(connection, self._now, self._now))
        self._write(leases.release_all)
        self._sweep()

    def close(self) -> None:
        """Finish the writes in flight and release the data directory."""
        with self._idle_lock:
            if self._closed:
                return
            self._closed = True
            # Before the writer's: the last connection to close empties the log into the
            # database, and these could not.
            for connection in self._idle:
                connection.close()
        self._commits.close()
        self._log.close()
        self._connection.close()
        _disown(self._directory, self._lock)

    def _connect(self, read_only: bool = False) -> SQLiteConnection:
        connection = _connect(self._directory, read_only)
        connection.blobs = self._blobs
        return connection

    @contextmanager
    def _transaction(self, writes: int, size: int) -> Iterator[Connection]:
        """Lend the writer's connection within a transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._log.committed(self._connection, writes, size)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._idle_lock:
            if self._closed:
                raise StoreError("the store is closed")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            with _opening(self._directory):
                connection = self._connect(read_only=True)
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"the store cannot be read: {error}") from error
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _give_back(self, connection: SQLiteConnection) -> None:
        with self._idle_lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _write(self, work: Callable[[Connection], T], size: int = 0) -> T:
        return self._commits.write(work, size)

    def _write_rows(self, work: Callable[[Connection], T], size: int = 0) -> T:
        return self._commits.write(work, size)

    def _reclaim(self) -> bool:
        """Give a slice of much unused room back to the disk; False if there is not much."""
        with self._reading() as connection:
            free, pages = (
                connection.execute(f"PRAGMA {count}").fetchone()[0]
                for count in ("freelist_count", "page_count")
            )
        if free * _PAGE_SIZE < _FREE_MIN or free * _FREE_PART < pages:
            return False

        def shrink(connection: Connection) -> bool:
            connection.execute(f"PRAGMA incremental_vacuum({_RECLAIM_PAGES})").fetchall()
            # A database made before rows were folded cannot, and keeps its room for new rows.
            return bool(connection.execute("PRAGMA freelist_count").fetchone()[0] < free)

        return self._write(shrink, _RECLAIM_PAGES * _PAGE_SIZE)

    def fold(self) -> bool:
        """See Store."""
        return super().fold() or self._reclaim()

    def tell(self, news: str) -> None:
        """See Store: nobody else is there."""

    def hear(self, heard: Callable[[str], None]) -> None:
        """See Store."""

    @property
    def secret(self) -> bytes:
        """See Store."""
        return self._secret


# ---- The directory --------------------------------------------------------------------


# A process never conflicts with its own record locks, and closing any descriptor of the file
# drops them: so the directories that this process owns are remembered here as well.
_owned: set[Path] = set()
_owned_lock = Lock()


def _own(directory: Path) -> int:
    """Make *directory* if it lacks and take its lock; return the descriptor that holds it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _owned_lock:
            if directory.resolve() in _owned:
                raise _in_use(directory)
            descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # The kernel drops it at any death of this process; a forked child lacks it.
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise _in_use(directory) from error
            _owned.add(directory.resolve())
    except OSError as error:
        raise StoreError(f"the store at {directory} cannot be written: {error.strerror}") from error
    return descriptor


def _disown(directory: Path, descriptor: int) -> None:
    with _owned_lock:
        _owned.discard(directory.resolve())
        os.close(descriptor)


def _in_use(directory: Path) -> StoreError:
    return StoreError(
        f"the store at {directory} is in use by another server: stop it, or choose another place"
    )


@contextmanager
def _opening(directory: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store at {directory} cannot be opened: {error}") from error


def _connect(directory: Path, read_only: bool = False) -> SQLiteConnection:
    connection = sqlite3.connect(
        f"{(directory / 'simvue.db').as_uri()}?mode={'ro' if read_only else 'rwc'}",
        uri=True,
        timeout=_LOCK_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=SQLiteConnection,
    )
    connection.row_factory = sqlite3.Row
    if not read_only:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        # Of a new database: room that deleted runs had can be given back, a little at a time.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
    return connection


def _prepare(directory: Path) -> None:
    """Make the tables of a new database, upgrade one of an older program; refuse a newer one."""
    script = files(__package__).joinpath("sqlite.sql").read_text("utf-8")
    schema = f"BEGIN; {script} PRAGMA user_version = {SCHEMA}; COMMIT;"
    with closing(_connect(directory)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"the store at {directory} has version {version}, newer than this program's "
                f"{SCHEMA}: upgrade simvue"
            )
        if version == 0:
            connection.executescript(schema)
    if 0 < version < SCHEMA:
        upgrade(directory / "simvue.db", version, schema, _PAGE_SIZE)
