"""Targets: an empty place that a whole store is written to, complete or not at all.

::

    DIR.new   simvue.db, blobs, secret, simvue.toml  ──synced, renamed──>  DIR
    database  one transaction                        ──────commit───────>  database

A death in the middle leaves DIR.new, which the next copy to DIR removes; or tables without a
row, and blobs that no row names.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from simvue.exception import StoreError

from . import moved, secret, shown, tables
from .blobs import Blobs, open_blobs
from .connection import Connection
from .disk import sync
from .sources import Source, driver, in_postgres, required
from .sqlite import SQLiteStore
from .tables import SQLiteTables, Tables, open_sqlite

# What a database has before anybody has used it: one storage, which comes with the tables.
_FRESH: Final = frozenset({"storage"})
_NOTHING: Final = frozenset({".new", "lost+found"})


class Target(ABC):
    """An empty place on its way to be a store."""

    blobs: Blobs
    place: str
    """Where those are, as open_blobs takes it."""
    connection: Connection
    """Sees what was taken so far."""

    @abstractmethod
    def take(self, source: Source) -> None:
        """Take all but the blobs of *source*."""


@contextmanager
def open_target(store: str, blobs: str | None = None) -> Iterator[Target]:
    """Open an empty place under the names that open_store takes; complete when this ends well.

    Raises StoreError if it is not empty.
    """
    opener = _open_database if in_postgres(store) else _open_directory
    with opener(store, blobs) as target:
        yield target


def _fill(source: Source, target: Tables) -> None:
    """Copy table after table."""
    target.execute("DELETE FROM storage")
    for table in tables.names():
        columns = source.tables.columns(table)
        target.fill(table, columns, source.tables.rows(table, columns))


# ---- A directory ------------------------------------------------------------------------


class _Directory(Target):
    def __init__(self, directory: Path, blobs: str | None) -> None:
        self.place = blobs or str(directory / "blobs")
        self.blobs = open_blobs(self.place)
        self._directory = directory
        self._file = directory / "simvue.db"
        self._stack = ExitStack()
        self.connection: SQLiteTables

    def close(self) -> None:
        self._stack.close()

    def take(self, source: Source) -> None:
        if isinstance(source.tables, SQLiteTables):
            # Page by page: faster, and exact whatever the tables hold.
            with closing(sqlite3.connect(self._file)) as copy:
                source.tables.backup(copy)
        else:
            SQLiteStore(str(self._directory)).close()
            with closing(self._open()) as copy:
                copy.execute("PRAGMA journal_mode = OFF").fetchone()
                copy.execute("BEGIN")
                _fill(source, copy)
                copy.execute("COMMIT")
        if source.secret:
            secret.keep(self._directory / "secret", source.secret)
        if source.settings:
            _keep(source.settings, self._directory / source.settings.name)
        self.connection = self._stack.enter_context(closing(self._open()))
        self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.execute("DELETE FROM lease")
        self.connection.execute("DELETE FROM litter")

    def _open(self) -> SQLiteTables:
        connection = open_sqlite(self._file, self.blobs, read_only=False)
        # All of it is synced at the end.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def finish(self) -> None:
        """Make all files durable."""
        self.close()
        for folder, _, names in os.walk(self._directory):
            # Those of blobs are durable by now.
            for name in names if Path(folder) == self._directory else []:
                sync(Path(folder, name))
            sync(Path(folder))


@contextmanager
def _open_directory(store: str, blobs: str | None) -> Iterator[Target]:
    directory = Path(store).absolute()
    moved.refuse(directory)
    try:
        # What a killed copy left, and what a new file system brings along, is nobody's.
        if directory.exists() and {path.name for path in directory.iterdir()} - _NOTHING:
            raise StoreError(f"{directory} is not empty: name a directory that is, or is not there")
        directory.parent.mkdir(parents=True, exist_ok=True)
        # A volume that is mounted there cannot be replaced, and is another file system.
        mounted = directory.is_mount()
        beside = directory / ".new" if mounted else directory.with_name(f"{directory.name}.new")
        with _staging(beside) as staging, closing(_Directory(staging, blobs)) as target:
            yield target
            target.finish()
            if mounted:
                # The database last: without it the rest is no store.
                for path in sorted(staging.iterdir(), key=lambda path: path.name == "simvue.db"):
                    path.rename(directory / path.name)
                sync(directory)
            else:
                staging.rename(directory)
                sync(directory.parent)
    except sqlite3.Error as error:
        raise StoreError(f"the copy in {directory} cannot be made: {error}") from error
    except OSError as error:
        raise StoreError(
            f"the copy in {directory} cannot be made: {error.strerror or error}"
        ) from error


@contextmanager
def _staging(directory: Path) -> Iterator[Path]:
    """Lend *directory*, new and locked; whatever of it is left at the end is removed."""
    directory.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been renamed before it was locked: then it is complete.
            ours = os.path.samestat(os.fstat(descriptor), directory.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise StoreError(f"another copy is being written to {directory}: wait for its end")
        for left in directory.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(descriptor)


def _keep(file: Path, copy: Path) -> None:
    with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
        made.write(file.read_bytes())


# ---- A database -------------------------------------------------------------------------


class _Database(Target):
    def __init__(self, connection: Tables, place: str, blobs: Blobs) -> None:
        self.connection = self._tables = connection
        self.place = place
        self.blobs = blobs

    def take(self, source: Source) -> None:
        _fill(source, self._tables)
        if source.secret:
            self._tables.execute("UPDATE store SET secret = ?", (source.secret,))
        for table in tables.names():
            if "key" in self._tables.columns(table):
                # What is new gets a key behind those that were copied.
                self._tables.execute(
                    f"SELECT setval(pg_get_serial_sequence('\"{table}\"', 'key'), "
                    f'(SELECT coalesce(max(key), 0) + 1 FROM "{table}"), FALSE)'
                )
        self._tables.execute("ANALYZE")


@contextmanager
def _open_database(store: str, blobs: str | None) -> Iterator[Target]:
    postgres = driver()
    place = required(blobs)
    opened = open_blobs(place)
    with postgres.transaction(store, opened, "BEGIN") as connection:
        if connection.execute("SELECT to_regclass('store')").fetchone()[0] is not None:
            _expect_fresh(connection, store)
    # Makes the tables.
    postgres.PostgresStore(store, opened).close()
    with postgres.transaction(store, opened, "BEGIN") as connection:
        connection.take_turn()
        _expect_fresh(connection, store)
        yield _Database(connection, place, opened)


def _expect_fresh(connection: Connection, store: str) -> None:
    """Raise StoreError if anybody has used the store."""
    for table in tables.names():
        found = connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone()
        if found and table not in _FRESH:
            raise StoreError(
                f"there is a store at {shown(store)} already, with {table}s: name an empty database"
            )
