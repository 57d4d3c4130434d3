"""A store is copied whole, into either engine, while its server runs: backup, restore, migrate.

What a store holds is read through its contract, so that a copy is held to what people see.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import psycopg
import pytest
from fix_postgres import drop_database, make_database

from simvue import wire
from simvue._columns import Rows, decode_metrics
from simvue.server.store import (
    Event,
    Query,
    RunGone,
    Span,
    Store,
    Tensor,
    Token,
    open_store,
    tables,
)
from simvue.server.store.audit import audit
from simvue.server.store.copies import Copied, copy
from simvue.server.store.sources import open_source
from simvue.server.store.targets import open_target

START = 1_770_000_000_000_000
CONTENT = b"shared by two artifacts" * 1000
ODD = [0.5, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308]
WHOLE = [0, -1, 2**53 + 1, -(2**63), 2**63 - 1, 2**63, 2**64 - 1]


class Place(NamedTuple):
    """A store and its blobs, as open_store takes them."""

    store: str
    blobs: str | None = None

    def open(self) -> Store:
        return open_store(*self)

    @property
    def options(self) -> list[str]:
        kind = "--store" if self.blobs else "--data"
        return [kind, self.store, *(["--blobs", self.blobs] if self.blobs else [])]


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Place]]:
    """Two places of each engine, all of them empty; a database is made when it is asked for."""
    made: list[str] = []

    class Places(dict[str, Place]):
        def __missing__(self, name: str) -> Place:
            if name.startswith("sqlite"):
                place = Place(str(tmp_path / name))
            else:
                made.append(make_database(request.getfixturevalue("postgres")))
                place = Place(made[-1], str(tmp_path / f"{name} blobs"))
            self[name] = place
            return place

    yield Places()
    for url in made:
        drop_database(request.getfixturevalue("postgres"), url)


def copied(source: Place, target: Place) -> Copied:
    with open_source(*source) as one, open_target(*target) as other:
        return copy(one, other)


# ---- What a store holds ----------------------------------------------------------------------


def rows_of(columns: dict[str, list[float]], first: int) -> Rows:
    count = len(next(iter(columns.values())))
    rows = [
        {
            "values": {name: column[i] for name, column in columns.items()},
            "time": (first + i) / 8,
            "timestamp": wire.format_timestamp(START + (first + i) * 1000),
            "step": first + i,
        }
        for i in range(count)
    ]
    return decode_metrics(msgpack.packb({"run": "R" * wire.ID_SIZE, "metrics": rows}))


def upload(store: Store, content: bytes, name: str, run: str) -> str:
    artifact, there = store.create_artifact(
        {
            "name": name,
            "size": len(content),
            "checksum": hashlib.sha256(content).hexdigest(),
            "metadata": {"of": name},
        },
        "ada",
    )
    if not there:
        sending = store.begin_upload(artifact)
        sending.write(content)
        sending.finish()
    store.attach_artifact(run, artifact, "output")
    return artifact


def fill(store: Store) -> str:
    """Put some of everything into *store*; return the run that most of it belongs to."""
    store.add_token("ab" * 32, Token("ada", "home", "admin", 4e9, name="mine"))
    store.add_token("cd" * 32, Token("bob", "home", "write", 4e9))
    store.create_folder({"path": "/a/b", "metadata": {"kind": "x"}, "tags": ["t"]})
    run, _ = store.create_run(
        {
            "folder": "/a/b",
            "name": "first \N{SNOWMAN}",
            "description": "a\0b \uf8ff",
            "tags": ["t", "u"],
            "status": "running",
            "heartbeat_timeout": 60.5,
            "metadata": {
                "int": 7, "float": 7.0, "big": 2**70, "nan": float("nan"), "inf": float("inf"),
                "text": "x\0y", "long": "z" * 5000, "yes": True, "none": None, "in": {"deep": 0.1},
            },
        },
        "ada",
    )  # fmt: skip
    store.add_metrics(run, rows_of({"odd": ODD, "whole": WHOLE}, 0), Span("w" * 22, 0, 7))
    store.add_metrics(run, rows_of({"odd": ODD}, 20), Span("w" * 22, 20, 27))
    store.add_metrics(run, rows_of({"last": [2**64 - 1]}, 0), Span("v" * 22, 5, 6))
    store.add_metrics(run, rows_of({"unnamed": [float("nan")]}, 0), None)
    events = [Event(START + i, "error", f"event {i} \0") for i in range(5)]
    store.add_events(run, events, Span("e" * 22, 0, 5))
    alert, _ = store.create_alert(
        {
            "name": "hot",
            "source": "metrics",
            "alert": {"metric": "odd", "rule": "is above", "threshold": 1.5, "window": 1,
                      "aggregation": "average", "frequency": 1},
        },
        "ada", False,
    )  # fmt: skip
    store.update_run(run, {"alerts": [alert]})
    store.set_alert_status(alert, run, "critical")
    upload(store, CONTENT, "one", run)
    upload(store, CONTENT, "two", run)
    upload(store, b"", "empty", run)
    grid = store.create_grid({"name": "g", "grid": [[1.0, 2.0]], "labels": ["x"]}, "ada")
    store.attach_grid(run, grid, "field")
    values = np.array([1.0, float("nan")])
    store.add_tensors(
        run,
        [Tensor("field", grid, 3, 0.5, START, "<f8", values.shape, values.tobytes())],
        Span("g" * 22, 0, 1),
    )
    # A run that is folded, and one that is no more.
    folded, _ = store.create_run({"folder": "/", "status": "completed"}, "bob")
    walk = np.random.default_rng(5).normal(size=40_000).cumsum().tolist()
    store.add_metrics(folded, rows_of({"x": walk}, 0), Span("f" * 22, 0, 40_000))
    while store.fold():
        pass
    gone, _ = store.create_run({"folder": "/", "id": "D" * 22}, "ada")
    store.delete_run(gone)
    return run


def held(store: Store) -> dict[str, Any]:
    """Return all that *store* holds, in words that can be compared."""
    found: dict[str, Any] = {}
    runs = store.list_runs(Query(), "ada")[1]
    for run in (entry["id"] for entry in runs):
        artifacts = store.run_artifacts(run)
        names = store.metric_names([run])
        found[run] = {
            "run": store.get_run(run),
            "series": {
                name: [column.tobytes() for column in series if column is not None]
                for name, one in store.series(run, names).items()
                for series in [(one.step, one.time, one.timestamp, one.values, one.kinds)]
            },
            "cut": [repr(store.cut(run, names, axis, 50)) for axis in ("step", "time")],
            "extent": store.extent(run),
            "events": store.list_events(run, [], 0, None),
            "writers": store.writers(run),
            "artifacts": artifacts,
            "contents": [store.open_artifact(one["id"])[0].read() for one in artifacts],
            "grids": store.run_grids(run),
            "tensor": store.tensor(run, "field", None),
            "alerts": [
                (alert["id"], store.alert_status(alert["id"], run))
                for alert in store.list_alerts(Query())[1]
            ],
        }
    found["folders"] = store.list_folders(Query())
    found["tags"] = store.list_tags(Query())
    found["alerts"] = store.list_alerts(Query())
    found["storages"] = store.list_storages()
    found["tenants"] = store.list_tenants(Query())
    found["users"] = store.list_users(Query())
    found["tokens"] = store.list_tokens(Query(), None)
    found["usage"] = store.usage(None)
    found["known"] = [store.find_token(text * 32) for text in ("ab", "cd", "ef")]
    found["secret"] = store.secret
    return {name: repr(value) for name, value in found.items()}


# ---- Exactly ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["sqlite 2", "postgres 2"])
@pytest.mark.parametrize("source", ["sqlite 1", "postgres 1"])
def test_a_copy_holds_exactly_what_its_source_holds(
    places: dict[str, Place], source: str, target: str
) -> None:
    with closing(places[source].open()) as store:
        run = fill(store)
        before = held(store)
        # Its server is at work meanwhile.
        done = copied(places[source], places[target])
    assert (done.runs, done.blobs, done.dropped, done.faults) == (2, 2, 0, [])
    assert done.points == 7 + 7 + 7 + 1 + 1 + 40_000
    assert done.size == len(CONTENT)
    assert audit(*places[target]).faults == []
    with closing(places[target].open()) as store:
        assert held(store) == before
        with pytest.raises(RunGone):
            store.get_run("D" * 22)
        # A shipper sends again what it has no answer for, and what it has not sent yet.
        again = rows_of({"odd": ODD, "whole": WHOLE}, 0)
        assert store.add_metrics(run, again, Span("w" * 22, 0, 7)).stored == 0
        assert store.add_metrics(run, again, Span("w" * 22, 7, 14)).stored == 7
        assert store.writers(run)["w" * 22] == [(0, 14), (20, 27)]
        # Keys go on behind those that were copied: in every table there is room for one more.
        fresh = fill_more(store)
        assert store.get_run(fresh)["metrics"]["x"]["count"] == 1


def fill_more(store: Store) -> str:
    """Put one more into each table that numbers its rows."""
    run, _ = store.create_run({"folder": "/c", "tags": ["new"]}, "eve")
    store.add_metrics(run, rows_of({"x": [1.0]}, 0), Span("n" * 22, 0, 1))
    store.add_events(run, [Event(START, "info", "new")], None)
    store.create_alert({"name": "new", "source": "user"}, "eve", False)
    store.create_storage({"name": "new", "backend": "File", "config": {}}, "eve")
    upload(store, b"new", "new", run)
    grid = store.create_grid({"name": "h", "grid": [[1.0]], "labels": ["x"]}, "eve")
    one = np.ones(1)
    tensor = Tensor("h", grid, 0, 0.0, START, "<f8", one.shape, one.tobytes())
    store.add_tensors(run, [tensor], None)
    store.add_token("ef" * 32, Token("eve", "away", "write", 4e9))
    return run


def test_rows_in_packs_are_read_from_the_copy_alone(
    places: dict[str, Place], bucket: str
) -> None:
    source = Place(places["postgres 1"].store, bucket)
    with closing(source.open()) as store:
        fill(store)
        before = held(store)
    with psycopg.connect(source.store) as connection:
        assert connection.execute("SELECT count(*) FROM pack").fetchone() == (1,)
    done = copied(source, places["sqlite 1"])
    assert (done.blobs, done.faults) == (3, [])
    with closing(places["sqlite 1"].open()) as store:
        assert held(store) == before
    # And back to a bucket.
    back = Place(places["postgres 2"].store, f"{bucket.partition('?')[0]}-2?{bucket.partition('?')[2]}")
    assert copied(places["sqlite 1"], back).blobs == 3
    with closing(back.open()) as store:
        assert held(store) == before
    assert audit(*back).faults == []


def test_both_engines_have_the_same_tables_and_columns(
    places: dict[str, Place], database: str
) -> None:
    places["sqlite 1"].open().close()
    Place(database, "unused").open().close()
    with closing(sqlite3.connect(f"{places['sqlite 1'].store}/simvue.db")) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        embedded = {
            name: [
                (column, bool(needed) and not key)
                for _, column, _, needed, _, key in connection.execute(f'PRAGMA table_info("{name}")')
            ]
            for (name,) in names
        }
    with psycopg.connect(database) as connection:
        columns = connection.execute(
            "SELECT relname, attname, attnotnull AND NOT coalesce(indisprimary, FALSE) "
            "FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY(indkey) "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0 "
            "ORDER BY relname, attnum"
        ).fetchall()
    large: dict[str, list[tuple[str, bool]]] = {}
    for table, column, needed in columns:
        large.setdefault(table, []).append((column, needed))
    assert large.pop("store") == [("version", True), ("secret", True)]
    assert large == embedded
    assert set(tables.names()) == set(embedded) - {"lease", "litter"}
