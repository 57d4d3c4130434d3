"""Tables: what a connection of either engine has to have where whole tables are copied."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

from .blobs import Blobs
from .connection import Connection
from .rows import storable
from .sqlite import SQLiteConnection

# Who does what just now, and which files nobody needs, is a store's own affair; the version and
# the secret are no table of the embedded engine.
_OWN: Final = frozenset({"store", "lease", "litter"})

# A server, or another copy, may have the file locked for a moment.
_LOCK_WAIT_S: Final = 10.0


class Tables(Connection, Protocol):
    """A connection that reads and writes whole tables, a few rows of which are in memory."""

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns of *table*, in their order."""

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Yield these *columns* of all rows of *table*."""

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add *rows* to *table*."""

    def faults(self) -> Iterator[str]:
        """Read all that the engine itself can check; yield what is wrong with it."""


def names() -> list[str]:
    """Return the tables that make up a store, each behind those that it refers to."""
    script = files(__package__).joinpath("postgres.sql").read_text("utf-8")
    found = re.findall(r'^CREATE TABLE "?(\w+)', script, re.MULTILINE)
    return [name for name in found if name not in _OWN]


def listed(columns: Sequence[str]) -> str:
    """Return *columns* as SQL lists them."""
    return ", ".join(f'"{name}"' for name in columns)


class SQLiteTables(SQLiteConnection):
    """See Tables."""

    def columns(self, table: str) -> list[str]:
        """See Tables."""
        found = self.execute(f'SELECT * FROM "{table}" LIMIT 0')
        return [column[0] for column in found.description]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
        """See Tables."""
        return iter(self.execute(f'SELECT {listed(columns)} FROM "{table}"'))

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """See Tables."""
        if table == "metric":
            # The other engine has numbers that this one keeps as texts.
            rows = (tuple(map(storable, row)) for row in rows)
        marks = ", ".join("?" * len(columns))
        self.executemany(f'INSERT INTO "{table}" ({listed(columns)}) VALUES ({marks})', rows)

    def faults(self) -> Iterator[str]:
        """See Tables."""
        for (line,) in self.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield f"the database file is damaged: {line}"
        for table, row, parent, _ in self.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} belongs to a {parent} that is not there"


def open_sqlite(file: Path, blobs: Blobs, *, read_only: bool) -> SQLiteTables:
    """Open the database *file*; its server may be at work if only to read."""
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        timeout=_LOCK_WAIT_S,
        isolation_level=None,
        factory=SQLiteTables,
    )
    connection.row_factory = sqlite3.Row
    connection.blobs = blobs
    return connection
