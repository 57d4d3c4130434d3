"""Connection: what the SQL modules need of an engine's, and all that they may use.

Each statement is written once, in the SQL that SQLite and PostgreSQL share: ``?`` stands for a
parameter, and sqlite.sql and postgres.sql make the same tables.  What one of the two lacks
(``instr``, ``json_each``, ``min`` of two values in PostgreSQL) postgres.sql adds to it under
SQLite's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

Row = Any
"""A row: its columns by name and by place, iterated over like a tuple; ``keys()`` are the names."""


class Cursor(Protocol):
    """The answer to a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Row:
        """Return the next row, None behind the last."""

    def fetchall(self) -> list[Row]:
        """Return all rows that are left."""

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows that are left."""


class Statements(Protocol):
    """What runs statements."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each of *parameters*; its rowcount is the sum of all."""


class Connection(Statements, Protocol):
    """A connection within an open transaction."""

    def insert(self, sql: str, parameters: Sequence[Any], /) -> int:
        """Run an INSERT of one row into a table with a ``key``, and return that key."""

    def fetch(self, place: str, start: int, size: int) -> bytes:
        """Return *size* bytes of a pack, which lies among the blobs.  Raises StoreError."""
