"""Sources: a whole store to read, of either engine, as one moment has it, beside its servers.

For copies (copies.py) and for the audit (audit.py).  Nothing is locked and nothing is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from simvue.exception import StoreError

from . import shown
from .blobs import Blobs, open_blobs
from .sql import SCHEMA
from .tables import SQLiteTables, Tables, open_sqlite


@dataclass
class Source:
    """A store as one moment has it."""

    tables: Tables
    later: Callable[[], AbstractContextManager[Tables]]
    """Lends a connection that sees the store as it is by now."""
    blobs: Blobs
    """Which may have lost some since that moment."""
    place: str
    """Where those are, as open_blobs takes it."""
    secret: bytes
    """What signs its links; empty if it has none yet."""
    settings: Path | None = None
    """The file with a token for its server, if one lies beside the store."""

    def where(self, place: str) -> str:
        """Return where the blob at *place* is, for messages."""
        base = self.place.partition("?")[0] if self.place.startswith("s3:") else self.place
        return f"{base.rstrip('/')}/{place}"


@contextmanager
def open_source(store: str, blobs: str | None = None) -> Iterator[Source]:
    """Open what open_store serves under the same names.  Raises StoreError."""
    with _open_postgres(store, blobs) if in_postgres(store) else _open_sqlite(store, blobs) as one:
        yield one


def in_postgres(store: str) -> bool:
    """Tell whether *store*, as open_store takes it, is the address of a database."""
    return store.startswith(("postgresql:", "postgres:"))


@contextmanager
def _open_sqlite(store: str, blobs: str | None) -> Iterator[Source]:
    directory = Path(store).absolute()
    file, key, settings = (directory / name for name in ("simvue.db", "secret", "simvue.toml"))
    place = blobs or str(directory / "blobs")
    opened = open_blobs(place)

    @contextmanager
    def moment() -> Iterator[SQLiteTables]:
        with closing(open_sqlite(file, opened, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield connection

    try:
        if not file.exists():
            raise StoreError(f"there is no store in {directory}: it has no {file.name}")
        with moment() as tables:
            _check_version(str(directory), tables.execute("PRAGMA user_version").fetchone()[0])
            yield Source(
                tables=tables,
                later=moment,
                blobs=opened,
                place=place,
                secret=key.read_bytes() if key.exists() else b"",
                settings=settings if settings.exists() else None,
            )
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store in {directory} cannot be read: {error}") from error


@contextmanager
def _open_postgres(store: str, blobs: str | None) -> Iterator[Source]:
    postgres = driver()
    place = required(blobs)
    opened = open_blobs(place)

    def moment() -> AbstractContextManager[Tables]:
        lent: AbstractContextManager[Tables] = postgres.transaction(
            store, opened, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        return lent

    with moment() as tables:
        if tables.execute("SELECT to_regclass('store')").fetchone()[0] is None:
            raise StoreError(f"there is no store at {shown(store)}: it has no tables")
        version, key = tables.execute("SELECT version, secret FROM store").fetchone()
        _check_version(shown(store), version)
        yield Source(
            tables=tables,
            later=moment,
            blobs=opened,
            place=place,
            secret=bytes(key),
        )


def driver() -> ModuleType:
    """Return the module of the other engine.  Raises StoreError if its packages lack."""
    try:
        from . import postgres
    except ModuleNotFoundError as error:
        raise StoreError(
            f"a store in PostgreSQL needs the package {error.name}: `pip install 'simvue[scale]'`"
        ) from None
    return postgres


def required(blobs: str | None) -> str:
    """Return *blobs*, which a store in PostgreSQL cannot do without.  Raises StoreError."""
    if blobs is None:
        raise StoreError("a store in PostgreSQL has its blobs elsewhere: say where with --blobs")
    return blobs


def _check_version(name: str, version: int) -> None:
    if version < SCHEMA:
        raise StoreError(
            f"the store at {name} has version {version}, this program reads {SCHEMA}: start its "
            "server once, which upgrades it"
        )
    if version > SCHEMA:
        raise StoreError(
            f"the store at {name} has version {version}, newer than this program's {SCHEMA}: "
            "upgrade simvue"
        )
