"""A real S3: ``seaweed`` is a cluster shared by a session, ``bucket`` a fresh prefix a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fix_postgres import engine_missing

from simvue.cli.demo.engines import EngineMissing, SeaweedFS, room
from simvue.wire import new_id


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedFS]:
    """A running cluster; who wants to kill or pause a part of it asks for ``fresh_seaweed``."""
    yield from _cluster()


@pytest.fixture
def fresh_seaweed(monkeypatch: pytest.MonkeyPatch) -> Iterator[SeaweedFS]:
    """A running cluster of the test's own, with its credentials in the environment."""
    for engine in _cluster():
        _enter(engine, monkeypatch)
        yield engine


@pytest.fixture
def bucket(seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty place in the shared cluster; credentials in the environment."""
    _enter(seaweed, monkeypatch)
    return seaweed.url_of(new_id())


def _cluster() -> Iterator[SeaweedFS]:
    with room() as directory:
        try:
            engine = SeaweedFS(directory)
        except EngineMissing as error:
            engine_missing(error)
        with engine:
            yield engine


def _enter(engine: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in engine.environment.items():
        monkeypatch.setenv(name, text)
