"""A real PostgreSQL: ``postgres`` shared by a session, ``database`` a fresh one a test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from simvue.cli.demo.engines import EngineMissing, Postgres, room
from simvue.wire import new_id


def engine_missing(error: EngineMissing) -> None:
    """Skip what needs the engine; a run of the whole must not pass for want of a package."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


def make_database(postgres: Postgres, template: str = "template1") -> str:
    """Make a database, a copy of *template*, to which nobody is connected; return its address."""
    name = f"test_{new_id()}"
    _execute(postgres, "CREATE DATABASE {} TEMPLATE {}", name, template)
    return postgres.url_of(name)


def drop_database(postgres: Postgres, url: str) -> None:
    """Drop the database at *url*, whoever is connected."""
    _execute(postgres, "DROP DATABASE {} WITH (FORCE)", url.rpartition("/")[2])


def _execute(postgres: Postgres, statement: str, *names: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; who wants to kill one asks for ``fresh_postgres``."""
    yield from _engine()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database."""
    url = make_database(postgres)
    yield url
    drop_database(postgres, url)


@pytest.fixture
def fresh_postgres() -> Iterator[Postgres]:
    """A running PostgreSQL of the test's own, to kill and start again."""
    yield from _engine()


def _engine() -> Iterator[Postgres]:
    with room() as directory:
        try:
            engine = Postgres(directory / "postgres")
        except EngineMissing as error:
            engine_missing(error)
        with engine:
            yield engine
