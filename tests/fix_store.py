"""Stores of each engine: ``engine`` opens them, and a test that asks for it runs on all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_postgres import drop_database, make_database

from simvue.cli.demo.engines import Postgres
from simvue.server.store.blobs import open_blobs
from simvue.server.store.postgres import PostgresStore
from simvue.server.store.sql import SQLStore
from simvue.server.store.sqlite import SQLiteStore

START = 1_770_000_000.0
"""When the clock that stores are handed begins: 2026-02-02T02:40:00."""


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Engine:
    """Opens stores of one kind: the same one again for the same name within a test."""

    def __init__(self, kind: str, directory: Path, request: pytest.FixtureRequest) -> None:
        self.kind = kind
        self._directory = directory
        self._request = request
        self._databases: dict[str, str] = {}
        self._opened: list[SQLStore] = []

    def open(
        self,
        name: str = "store",
        clock: Callable[[], float] = time.time,
        blobs: str | None = None,
    ) -> SQLStore:
        """Open the store *name*; its blobs lie in a folder, or at the address *blobs*."""
        directory = self._directory / name
        place = open_blobs(blobs or str(directory / "blobs"))
        if self.kind == "sqlite":
            self._opened.append(SQLiteStore(str(directory), clock, place))
        else:
            directory.mkdir(exist_ok=True)
            self._opened.append(PostgresStore(self.url(name), place, clock))
        return self._opened[-1]

    def url(self, name: str = "store") -> str:
        """Return where the store *name* is: a directory, or a database."""
        if self.kind == "sqlite":
            return str(self._directory / name)
        if name not in self._databases:
            postgres = self._request.getfixturevalue("postgres")
            template = self._request.getfixturevalue("store_template")
            self._databases[name] = make_database(postgres, template)
        return self._databases[name]

    def close(self) -> None:
        """Close the stores and remove the databases."""
        for store in self._opened:
            store.close()
        for url in self._databases.values():
            drop_database(self._request.getfixturevalue("postgres"), url)


@pytest.fixture(scope="session")
def store_template(postgres: Postgres) -> str:
    """The name of a database with the tables of a new store."""
    url = make_database(postgres)
    PostgresStore(url, open_blobs("/nowhere")).close()
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Each engine in turn."""
    found = Engine(request.param, tmp_path, request)
    yield found
    found.close()


@pytest.fixture
def clock() -> Clock:
    """What the stores of a test are told that it is."""
    return Clock()
